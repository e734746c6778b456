package api

import "slices"

// Role says what the bearer of a token may do.
type Role string

// Roles. Each may do what those before it may.
const (
	RoleRead    Role = "read"    // look
	RoleOperate Role = "operate" // everyday acts: chains, contents, moves, nodes, config; reports of runners
	RoleAdmin   Role = "admin"   // what loses data or replaces the state
)

// Covers tells whether a role is enough where another is needed. A role that
// does not exist covers nothing.
func (r Role) Covers(needed Role) bool {
	order := []Role{RoleRead, RoleOperate, RoleAdmin}
	has, needs := slices.Index(order, r), slices.Index(order, needed)
	return needs >= 0 && has >= needs
}
