package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// node answers as a node of a cluster would: it knows the chain orders, and
// takes no write that would make more copies than are allowed.
func node(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut:
		p := api.InvalidField("spec.desired", "spec.desired: 12 is not within 1..9")
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	case strings.HasSuffix(r.URL.Path, "/orders"):
		_ = json.NewEncoder(w).Encode(api.Chain{ID: "orders", Health: "healthy", Holders: []api.Holder{
			{Node: "n1", Phase: "ready", Live: true}, {Node: "n3", Phase: "ready", Live: true},
		}})
	}
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(node))
	defer server.Close()

	// Several addresses of one cluster: the first does not answer here.
	c, err := client.New([]string{"http://127.0.0.1:1", server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()

	chain, err := c.Chain(ctx, "orders", client.At(api.Linearizable))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(chain.ID, "is", chain.Health)
	for _, h := range chain.Holders {
		fmt.Println(" ", h.Node, h.Phase)
	}

	_, err = c.PutChain(ctx, "orders", api.Spec{Desired: new(12)})
	var p *api.Problem
	if errors.As(err, &p) {
		fmt.Println("refused:", p.Code, "in", p.Field)
	}
	// Output:
	// orders is healthy
	//   n1 ready
	//   n3 ready
	// refused: invalid in spec.desired
}
