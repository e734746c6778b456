package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) contentCommand() *cobra.Command {
	cmd := group("content", "Store and fetch the bytes of a chain", "  holdfast content put web site.tar\n  holdfast content get web copy.tar")
	a := p.accessTo(cmd)
	cmd.AddCommand(contentPutCommand(a), contentGetCommand(a))
	return cmd
}

func contentPutCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put CHAIN FILE",
		Short: "Make a file the content of a chain, and create the chain if there is none",
		Long: `Stores a file ("-" = standard input) as the content of a chain. When it returns, the bytes
are on enough disks to survive the loss of all of them but one (write_copies). A chain that
does not exist is created.`,
		Example: "  holdfast content put web site.tar\n  tar c site | holdfast content put web - --desired 2",
		Args:    takes("CHAIN", "FILE"),
	}
	why := reason(cmd)
	desired := cmd.Flags().Int("desired", 3, "live copies wanted, if the chain is created")
	match := cmd.Flags().String("if-match", "", "only if this SHA-256 is the present content")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		f, size, err := openContent(args[1], cmd.InOrStdin())
		if err != nil {
			return err
		}
		defer f.Close()
		if err := s.ensureChain(cmd, args[0], *desired, *why); err != nil {
			return err
		}
		opts := []client.CallOption{client.Because(*why)}
		if *match != "" {
			opts = append(opts, client.IfSHA256(*match))
		}
		if timeout, err := cmd.Flags().GetDuration("timeout"); err == nil && timeout > 0 {
			opts = append(opts, client.Within(timeout))
		}
		put, err := s.PutContent(cmd.Context(), args[0], f, size, opts...)
		if err != nil {
			return err
		}
		return s.say("chain %s holds %s, sha256 %s, on disk at %s", args[0], formatBytes(put.Size), put.SHA256, list(put.Holders))
	})
	return cmd
}

// openContent opens a file to be sent, and says how long it is. What comes
// from a pipe is written to a file first: its length must be known.
func openContent(name string, stdin io.Reader) (f *os.File, size int64, err error) {
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return nil, 0, usage("FILE: %w", err)
		}
	} else if f, err = spool(stdin); err != nil {
		return nil, 0, fmt.Errorf("keeping standard input in a temporary file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = usage("FILE: %s is not a file; for what comes from a pipe give -", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// spool copies r to a file without a name.
func spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "holdfast-put-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, r)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ensureChain creates a chain that does not exist.
func (s *session) ensureChain(cmd *cobra.Command, id string, desired int, why string) error {
	_, err := s.Chain(cmd.Context(), id)
	if !isCode(err, api.UnknownChain) {
		return err
	}
	_, err = s.PutChain(cmd.Context(), id, api.Spec{Desired: &desired}, client.CreateOnly(), client.Because(why))
	if isCode(err, api.Exists) {
		return nil // somebody was quicker
	}
	return err
}

func contentGetCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get CHAIN [FILE]",
		Short: "Fetch the content of a chain, into a file or to standard output",
		Long: `Fetches the content of a chain and checks it against its SHA-256. A file appears under its
name only when all of it has arrived and is right. Without FILE, or with "-", the bytes go to
standard output.`,
		Example: "  holdfast content get web copy.tar\n  holdfast content get web | tar t",
		Args:    takesFrom(1, "CHAIN", "FILE"),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		content, err := s.Content(cmd.Context(), args[0], at())
		if err != nil {
			return err
		}
		defer content.Close()
		if len(args) == 1 || args[1] == "-" {
			return copyVerified(s.p.stdout, content)
		}
		if err := saveVerified(args[1], content); err != nil {
			return err
		}
		s.hint("%s is %s, sha256 %s", args[1], formatBytes(content.Size), content.SHA256)
		return nil
	})
	return cmd
}

// copyVerified copies a content and fails unless it has its hash.
func copyVerified(to io.Writer, content *client.Content) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), content)
	if err != nil {
		return fmt.Errorf("the content broke off after %s: %w; try again", formatBytes(n), err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != strings.ToLower(content.SHA256) {
		return fmt.Errorf("the bytes that came have sha256 %s, not %s: do not use them, try again", got, content.SHA256)
	}
	return nil
}

// saveVerified writes a content to a file, which gets its name when it is whole
// and on disk.
func saveVerified(name string, content *client.Content) error {
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text())
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return usage("FILE: %w", err)
	}
	defer os.Remove(part) // nothing is left of it after the rename
	err = copyVerified(f, content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(part, name)
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	return err
}
