package lincheck

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// chain is the state of one chain in the model.
type chain struct {
	exists  bool
	value   string
	gen     uint64 // 0 = of a write whose outcome nobody learnt
	floor   uint64 // no later write has a generation this low
	content string
}

// model is a chain as porcupine knows it: a register with two conditions.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: byChain,
		Init:      func() any { return chain{} },
		Step: func(state, input, output any) (bool, any) {
			s, okState := state.(chain)
			op, okOp := input.(*Op)
			if !okState || !okOp {
				return false, state
			}
			next, ok := step(s, op)
			return ok, next
		},
		DescribeOperation: func(input, _ any) string {
			if op, ok := input.(*Op); ok {
				return op.request() + " = " + op.answer()
			}
			return ""
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
	}
}

// byChain splits a history by chain: each is linearizable by itself.
func byChain(history []porcupine.Operation) [][]porcupine.Operation {
	at := map[string]int{}
	var parts [][]porcupine.Operation
	for _, one := range history {
		op, ok := one.Input.(*Op)
		if !ok {
			continue
		}
		i, ok := at[op.Chain]
		if !ok {
			i = len(parts)
			at[op.Chain] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], one)
	}
	return parts
}

// step tells whether op can have had its answer in state s, and the state
// after it. A write of unknown outcome always can: it takes effect if its
// conditions hold.
func step(s chain, op *Op) (chain, bool) {
	switch op.Kind {
	case Put:
		return stepPut(s, op)
	case Delete:
		return stepDelete(s, op)
	case PutContent:
		return stepContent(s, op)
	case Read:
		return s, s.exists == op.Answer.Exists && s.value == op.Answer.Value && s.gen == op.Answer.Generation && s.content == op.Answer.Content
	case ReadContent:
		return s, s.exists == op.Answer.Exists && s.content == op.Answer.Content
	}
	return s, false
}

// atGen tells whether the condition on the generation holds.
func (s chain) atGen(op *Op) bool { return op.IfGen == 0 || s.exists && s.gen == op.IfGen }

func stepPut(s chain, op *Op) (chain, bool) {
	applies := s.atGen(op) && (!op.IfNone || !s.exists)
	switch {
	case op.Result == Refused && op.Code == "stale-generation":
		return s, !s.atGen(op)
	case op.Result == Refused:
		return s, op.Code == "exists" && op.IfNone && s.exists
	case !applies:
		return s, op.Result == Unknown
	case op.Result == OK && (op.Answer.Created == s.exists || op.Answer.Generation != 0 && op.Answer.Generation <= s.floor):
		return s, false
	case op.Answer.Generation != 0 && op.Answer.Generation <= s.floor: // its time has passed
		return s, op.Result == Unknown
	}
	after := s
	after.exists, after.value, after.gen = true, op.Value, op.Answer.Generation
	after.floor = max(s.floor, after.gen)
	return after, true
}

func stepDelete(s chain, op *Op) (chain, bool) {
	applies := s.exists && s.atGen(op)
	switch {
	case op.Result == Refused && op.Code == "unknown-chain":
		return s, !s.exists
	case op.Result == Refused:
		return s, op.Code == "stale-generation" && s.exists && !s.atGen(op)
	case !applies:
		return s, op.Result == Unknown
	}
	return chain{floor: s.floor}, true
}

func stepContent(s chain, op *Op) (chain, bool) {
	applies := s.exists && (op.IfSHA == "" || s.content == op.IfSHA)
	switch {
	case op.Result == Refused && op.Code == "unknown-chain":
		return s, !s.exists
	case op.Result == Refused && op.IfSHA == "": // it raced with another
		return s, op.Code == "stale-content"
	case op.Result == Refused:
		return s, op.Code == "stale-content" && s.exists && !applies
	case !applies:
		return s, op.Result == Unknown
	}
	s.content = op.Value
	return s, true
}

// prepare returns the operations that porcupine orders: writes that may have
// taken effect, refusals, and linearizable reads. A write whose outcome nobody
// was told but whose value was seen has taken effect before it was seen, so it
// gets its generation, and its return is that of the first who saw it.
func prepare(ops []Op) []Op {
	type sighting struct {
		gen uint64
		at  int64
	}
	seen := map[string]sighting{}
	see := func(value string, gen uint64, at int64) {
		old, ok := seen[value]
		if !ok || at < old.at {
			seen[value] = sighting{max(gen, old.gen), at}
		}
	}
	for i := range ops {
		if o := &ops[i]; o.Result == OK && !o.writes() {
			see(o.Answer.Value, o.Answer.Generation, o.Return)
			see(o.Answer.Content, 0, o.Return)
		}
	}
	var out []Op
	for _, o := range ops {
		if o.Result == Failed || !o.writes() && (o.Level != "linearizable" || o.Result != OK) {
			continue
		}
		if s, ok := seen[o.Value]; ok && o.Value != "" {
			if o.Answer.Generation == 0 {
				o.Answer.Generation = s.gen
			}
			if o.Result == Unknown {
				o.Return = max(s.at, o.Call)
			}
		}
		out = append(out, o)
	}
	return out
}

// order asks porcupine for an order of the operations, chain by chain, and
// gives up after a time.
func order(ops []Op, patience time.Duration) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	prepared := prepare(ops)
	history := make([]porcupine.Operation, len(prepared))
	for i := range prepared {
		o := &prepared[i]
		history[i] = porcupine.Operation{ClientId: o.Client, Input: o, Output: o, Call: o.Call, Return: o.Return}
	}
	return porcupine.CheckOperationsVerbose(model(), history, patience)
}
