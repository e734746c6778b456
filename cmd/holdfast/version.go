package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  holdfast version\n  holdfast version -o json",
		Args:    takes(),
	}
	output := cmd.Flags().StringP("output", "o", "table", "table or json")
	cmd.RunE = func(*cobra.Command, []string) error {
		switch *output {
		case "table":
			_, err := fmt.Fprintf(p.stdout, "holdfast %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		case "json":
			return json.NewEncoder(p.stdout).Encode(struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version, runtime.Version(), runtime.GOOS, runtime.GOARCH})
		}
		return usage("--output: %q is neither table nor json", *output)
	}
	return cmd
}
