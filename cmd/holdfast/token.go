package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/agent/authfile"
	"github.com/holdfast-cluster/holdfast/api"
)

func (p *program) tokenCommand() *cobra.Command {
	cmd := group("token", "Make tokens for the file of --auth-file", "  holdfast token new --name ci --role operate >> tokens.yaml")
	cmd.AddCommand(p.tokenNewCommand())
	return cmd
}

func (p *program) tokenNewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a token and its entry",
		Long: `Makes a random token. Its entry for the file of --auth-file, which has only a hash, goes to the
standard output; the token itself to the standard error, this once. Nothing is kept.`,
		Example: `  holdfast token new --name ci --role operate >> tokens.yaml`,
		Args:    takes(),
	}
	name := cmd.Flags().String("name", "", "who has it: the actor of all that is done with it; required")
	role := cmd.Flags().String("role", string(api.RoleRead), "read: look; operate: everyday acts; admin: all")
	cmd.RunE = func(*cobra.Command, []string) error {
		token, e, err := authfile.NewToken(*name, api.Role(*role))
		if err != nil {
			return usage("--%w", err)
		}
		fmt.Fprintf(p.stdout, "- name: %q\n  sha256: %q\n  role: %s\n", e.Name, e.SHA256, e.Role)
		fmt.Fprintf(p.stderr, "the token of %s, shown this once:\nHOLDFAST_TOKEN=%s\n", e.Name, token)
		return nil
	}
	return cmd
}
