package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// wait returns when every node is ready and knows a leader, or with the last
// words of a node that has ended instead.
func (d *dev) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devReadyIn, fmt.Errorf("not ready after %v; the logs are %s", devReadyIn, d.logFiles()))
	defer cancel()
	for i, c := range d.children {
		if err := d.waitFor(ctx, i+1, c); err != nil {
			return err
		}
	}
	return nil
}

// waitFor waits for node i.
func (d *dev) waitFor(ctx context.Context, i int, c *child) error {
	one, err := d.client(i)
	if err != nil {
		return err
	}
	defer one.Close()
	for one.Ready(ctx, true) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %s: %w", c.name, context.Cause(ctx))
		case <-c.ended:
			return fmt.Errorf("node %s has ended before it was ready: %s; its log is %s", c.name, lastLine(c.log), c.log)
		case <-time.After(devPoll):
		}
	}
	return nil
}

func (d *dev) logFiles() string { return filepath.Join(d.dir, "n*", "agent.log") }

// client asks node i, or any node if i is 0, without trying again.
func (d *dev) client(i int) (*client.Client, error) {
	var addrs []string
	for j := 1; j <= d.nodes; j++ {
		if i == 0 || i == j {
			addrs = append(addrs, "http://"+d.httpAddr(j))
		}
	}
	return client.New(addrs, client.WithRetry(0))
}

// lastLine returns the last line of a log that is not empty.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// welcome says who is there, and what to try.
func (d *dev) welcome(ctx context.Context) error {
	c, err := d.client(0)
	if err != nil {
		return err
	}
	defer c.Close()
	nodes, err := d.allNodes(ctx, c)
	if err != nil {
		return fmt.Errorf("asking the cluster who is there: %w", err)
	}
	tab := tabwriter.NewWriter(d.p.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tab, "NODE\tPID\tROLE\tADDRESS\tHTTP")
	leader := 0
	for i, child := range d.children {
		role := "starting"
		for j := range nodes {
			if nodes[j].ID == child.name {
				role = raftRole(&nodes[j])
			}
		}
		if role == "leader" {
			leader = i
		}
		fmt.Fprintf(tab, "%s\t%d\t%s\t%s\thttp://%s\n", child.name, child.pid, role, d.nodeAddr(i+1), d.httpAddr(i+1))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	d.hints(d.p.stdout, d.children[leader].pid)
	return nil
}

// allNodes lists the nodes once every child has announced itself; one that
// takes long is shown as starting.
func (d *dev) allNodes(ctx context.Context, c *client.Client) ([]api.Node, error) {
	until := time.Now().Add(5 * time.Second)
	for {
		nodes, err := c.Nodes(ctx)
		if err == nil && len(nodes) >= d.nodes || time.Now().After(until) {
			return nodes, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(devPoll):
		}
	}
}

// hints says what to do next.
func (d *dev) hints(w io.Writer, leader int) {
	var addrs []string
	for i := 1; i <= d.nodes; i++ {
		addrs = append(addrs, "http://"+d.httpAddr(i))
	}
	fmt.Fprintf(w, `
In another terminal:
  export HOLDFAST_ADDR=%s
  holdfast content put web FILE     keep a file three times
  holdfast chain show web           see where
  kill -9 %-8d                  kill the leader
  holdfast status                   see who leads now

The logs are %s. Ctrl-C stops everything.
`, strings.Join(addrs, ","), leader, d.logFiles())
}

// watch tells of nodes that die until ctx ends.
func (d *dev) watch(ctx context.Context) {
	for {
		died := d.firstDead(ctx)
		if died == nil {
			return
		}
		died.told = true
		how := "has died"
		if died.cmd.ProcessState.Success() {
			how = "was stopped"
		}
		fmt.Fprintf(d.p.stdout, "\nnode %s (pid %d) %s: %s. Start it again with:\n  %s\n", died.name, died.pid, how, died.state, died.commandLine())
		if d.alive() == 0 {
			fmt.Fprintln(d.p.stdout, "\nno node is left; their data stays until Ctrl-C")
		}
	}
}

// alive counts the children that run.
func (d *dev) alive() int {
	n := 0
	for _, c := range d.children {
		if !c.isEnded() {
			n++
		}
	}
	return n
}

// firstDead waits for a child to end that was not told of yet; nil when ctx
// ends first.
func (d *dev) firstDead(ctx context.Context) *child {
	for {
		ended := d.spawner.heard()
		for _, c := range d.children {
			if c.isEnded() && !c.told {
				return c
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		}
	}
}

// stop tells the nodes to stop, the last first, waits for them, and kills
// those that do not, at once if the user is in a hurry.
func (d *dev) stop() {
	for i := len(d.children) - 1; i >= 0; i-- {
		d.children[i].terminate()
	}
	patience := time.NewTimer(devPatience)
	defer patience.Stop()
	for i := len(d.children) - 1; i >= 0; i-- {
		c := d.children[i]
		select {
		case <-c.ended:
			continue
		case <-patience.C:
		case <-d.p.now:
		}
		for _, c := range d.children {
			c.kill()
		}
		<-c.ended
	}
}
