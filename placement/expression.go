package placement

import (
	"fmt"
	"strings"
)

// relation is what an expression asks of a key.
type relation byte

const (
	present relation = iota
	absent
	equal
	unequal
	below
	above
	atMost
	atLeast
)

// CheckExpression tells whether expr is an expression over nodes: "key"
// (present), "!key" (absent), "key=value", "key!=value", or a comparison with
// a number or a size, "key>=16GiB" (also <=, <, >). A key is looked up among
// "zone" (the node's zone) and "node" (its id), then its labels, then its
// capabilities. A node without the key satisfies "!key" and "key!=value" only.
func CheckExpression(expr string) error {
	key, rel, value := splitExpression(expr)
	if err := checkID("label key", key, LabelLengthMax); err != nil {
		return fmt.Errorf("expression %.80q: %w", expr, err)
	}
	if strings.Contains(value, "!=") || rel == equal && value != "" && strings.IndexByte("<>", value[0]) >= 0 {
		return fmt.Errorf("expression %.80q: it has two relations; write key>=8 or key!=value, and give each as an expression of its own", expr)
	}
	if _, ok := parseNumber(value); rel >= below && !ok {
		return fmt.Errorf("expression %.80q: %.80q is not a number; compare with one such as 8, 0.5 or 16GiB", expr, value)
	}
	return CheckText("expression on "+key, value)
}

// splitExpression cuts expr into its key, what it asks of it, and the value
// that it names.
func splitExpression(expr string) (key string, rel relation, value string) {
	if k, ok := strings.CutPrefix(expr, "!"); ok {
		return k, absent, ""
	}
	i := 0
	for i < len(expr) && expr[i] != '=' && expr[i] != '!' && expr[i] != '<' && expr[i] != '>' {
		i++
	}
	if i == len(expr) {
		return expr, present, ""
	}
	key, value = expr[:i], expr[i+1:]
	after, orEqual := strings.CutPrefix(value, "=")
	switch expr[i] {
	case '=':
		return key, equal, value
	case '!':
		if !orEqual {
			return expr, present, "" // no key looks like this
		}
		return key, unequal, after
	case '<':
		rel = below
	default:
		rel = above
	}
	if orEqual {
		return key, rel + (atMost - below), after
	}
	return key, rel, value
}

// Matches tells whether the node satisfies an expression (see
// [CheckExpression] for the forms). It allocates nothing. A number is compared
// as one; a label or text counts as a number when it reads as one.
func (n *Node) Matches(expr string) bool {
	key, rel, want := splitExpression(expr)
	got, ok := n.fact(key)
	switch rel {
	case present:
		return ok
	case absent:
		return !ok
	case equal:
		return ok && got.is(want)
	case unequal:
		return !ok || !got.is(want)
	case below, above, atMost, atLeast: // of numbers
	}
	limit, isLimit := parseNumber(want)
	x, isNumber := got.number()
	if !isLimit || !isNumber { // what is not there is no number
		return false
	}
	switch rel {
	case below:
		return x < limit
	case above:
		return x > limit
	case atMost:
		return x <= limit
	default:
		return x >= limit
	}
}

// is tells whether the fact has that value.
func (c *Capability) is(value string) bool {
	if !c.IsNumber {
		return c.Text == value
	}
	n, ok := parseNumber(value)
	return ok && n == c.Number
}

// fact looks up the key of an expression.
func (n *Node) fact(key string) (Capability, bool) {
	switch key {
	case "zone":
		return Capability{Text: n.Zone}, n.Zone != ""
	case "node":
		return Capability{Text: string(n.ID)}, true
	}
	if text, ok := n.Labels.Get(key); ok {
		return Capability{Text: text}, true
	}
	return n.Capabilities.Get(key)
}

// CheckPeer tells whether expr names other chains, as [Spec.AntiAffinity] and
// [Spec.Colocate] do: "key=value" by one of their labels, or "chain=id".
func CheckPeer(expr string) error {
	key, value, ok := strings.Cut(expr, "=")
	if !ok {
		return fmt.Errorf("%.80q: name other chains by a label of theirs, KEY=VALUE, or by chain=ID", expr)
	}
	if key == "chain" {
		_, err := ParseChainID(value)
		return err
	}
	if err := checkID("label key", key, LabelLengthMax); err != nil {
		return fmt.Errorf("%.80q: %w", expr, err)
	}
	return CheckText("label "+key, value)
}

// PeerMatches tells whether c is among the chains that expr names (see
// [CheckPeer] for the forms).
func PeerMatches(expr string, c *Chain) bool {
	key, want, named := strings.Cut(expr, "=")
	if key == "chain" {
		return named && string(c.ID) == want
	}
	got, ok := c.Spec.Labels.Get(key)
	return ok && named && got == want
}
