package gossip

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/holdfast-cluster/holdfast/transport"
)

// joinsMax is how many addresses are tried at once.
const joinsMax = 8

// rejoin joins, every few seconds and for ever, every address that should be
// there and is not alive. memberlist itself never calls the dead again.
func (g *Gossip) rejoin(ctx context.Context, list *memberlist.Memberlist, wire *wire) {
	for ctx.Err() == nil {
		slots := make(chan struct{}, joinsMax)
		var tries sync.WaitGroup
		for _, address := range g.absent(ctx, wire.own.String()) {
			slots <- struct{}{}
			tries.Go(func() {
				g.join(ctx, list, address)
				<-slots
			})
		}
		tries.Wait()
		g.forget(time.Now())
		pause := g.cfg.Timing.Rejoin + rand.N(g.cfg.Timing.Rejoin/2+1)
		if len(g.alive()) < 2 {
			pause /= 4 // alone: the sooner it finds somebody the better
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (g *Gossip) join(ctx context.Context, list *memberlist.Memberlist, address string) {
	if ctx.Err() != nil {
		return
	}
	_, err := list.Join([]string{address})
	switch {
	case ctx.Err() != nil:
	case err != nil && foreign(err.Error()):
		if g.firstTime(address, "foreign") {
			g.cfg.Logger.Warn("the address belongs to another cluster: check --cluster and --join", "address", address, "error", oneLine(err))
		}
	case err != nil && g.firstTime(address, err.Error()):
		g.cfg.Logger.Info("cannot join yet, trying again", "address", address, "error", oneLine(err))
	case err == nil:
		g.firstTime(address, "")
		g.cfg.Logger.Debug("joined", "address", address)
	}
}

// foreign tells whether the other end is of another cluster, which goes on until
// somebody changes a setting. memberlist leaves only the text of a refusal.
func foreign(text string) bool {
	return strings.Contains(text, "("+transport.CodeWrongClusterName+")") || strings.Contains(text, "("+transport.CodeWrongClusterID+")")
}

// oneLine returns the words of an error of memberlist, which puts each of
// several on a line of its own.
func oneLine(err error) string {
	many, ok := err.(interface{ WrappedErrors() []error })
	if !ok {
		return err.Error()
	}
	var texts []string
	for _, one := range many.WrappedErrors() {
		texts = append(texts, one.Error())
	}
	return strings.Join(texts, "; ")
}

// absent returns the addresses, as ip:port, of the seeds, of the known nodes
// and of members that are not alive, without those of living ones.
func (g *Gossip) absent(ctx context.Context, own string) []string {
	wanted := append(slices.Clone(g.cfg.Seeds), g.cfg.Known()...)
	for _, m := range g.Members() {
		if !m.Alive {
			wanted = append(wanted, m.Gossip)
		}
	}
	slices.Sort(wanted)
	living := g.alive()
	var absent []string
	for _, name := range slices.Compact(wanted) {
		addresses, err := g.cfg.Network.Resolve(ctx, name) // each time: a name may move
		if err != nil {
			if ctx.Err() == nil && g.firstTime(name, err.Error()) {
				g.cfg.Logger.Info("address does not resolve, trying again", "address", name, "error", err)
			}
			continue
		}
		for _, address := range addresses {
			if address != own && !living[address] {
				absent = append(absent, address)
			}
		}
	}
	slices.Sort(absent)
	return slices.Compact(absent)
}

// alive returns the addresses of living members, itself included.
func (g *Gossip) alive() map[string]bool {
	living := map[string]bool{}
	for _, m := range g.Members() {
		if m.Alive {
			living[m.Gossip] = true
		}
	}
	return living
}

// forget drops members that have been away for long.
func (g *Gossip) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, m := range g.members {
		if !m.Alive && now.Sub(m.Since) > forgetAfter {
			delete(g.members, id)
		}
	}
}
