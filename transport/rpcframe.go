package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The frames of an rpc stream, after the handshake; numbers are big endian:
//
//	request: timeout in ms u32 | length u8, method | length u32, body
//	answer:  0 | length u32, body
//	error:   1 | length u8, code | length u16, detail
const (
	rpcOK        = 0
	rpcError     = 1
	rpcDetailMax = 4096
)

// rpcRequest is one call. The timeout travels, not the deadline: clocks differ.
type rpcRequest struct {
	method  string
	timeout time.Duration // rounded up to milliseconds
	body    []byte
}

func (r rpcRequest) encode() ([]byte, error) {
	if r.method == "" || len(r.method) > fieldMax {
		return nil, fmt.Errorf("method name of %d bytes: it must have 1..%d", len(r.method), fieldMax)
	}
	if len(r.body) > RPCBodyMax {
		return nil, &RPCError{RPCCodeTooLarge, fmt.Sprintf("request of %d bytes: at most %d are taken", len(r.body), RPCBodyMax)}
	}
	timeout := min(max(r.timeout, time.Millisecond), RPCTimeoutMax)
	ms := (timeout + time.Millisecond - 1) / time.Millisecond
	b := make([]byte, 0, 9+len(r.method)+len(r.body))
	b = binary.BigEndian.AppendUint32(b, uint32(ms))
	b = append(b, byte(len(r.method)))
	b = append(b, r.method...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.body)))
	return append(b, r.body...), nil
}

// readRPCRequest reads one request. Its errors are of type *RPCError, fit to be sent back.
func readRPCRequest(r io.Reader) (rpcRequest, error) {
	invalid := func(err error) (rpcRequest, error) {
		if re, ok := errors.AsType[*RPCError](err); ok {
			return rpcRequest{}, re
		}
		return rpcRequest{}, &RPCError{RPCCodeInvalid, "request not received whole: " + err.Error()}
	}
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return invalid(err)
	}
	ms := binary.BigEndian.Uint32(head[:])
	req := rpcRequest{timeout: min(time.Duration(ms)*time.Millisecond, RPCTimeoutMax)}
	method := make([]byte, head[4])
	if _, err := io.ReadFull(r, method); err != nil {
		return invalid(err)
	}
	if req.method = string(method); req.method == "" || ms == 0 {
		return rpcRequest{}, &RPCError{RPCCodeInvalid, "request without method or timeout"}
	}
	var err error
	if req.body, err = readRPCBody(r); err != nil {
		return invalid(err)
	}
	return req, nil
}

// readRPCBody reads a length and as many bytes. Memory grows with what
// arrives, not with what is announced.
func readRPCBody(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > RPCBodyMax {
		return nil, &RPCError{RPCCodeTooLarge, fmt.Sprintf("%d bytes announced, at most %d are taken", n, RPCBodyMax)}
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return body.Bytes(), nil
}

// encodeRPCAnswer returns the frame for a handler's result.
func encodeRPCAnswer(body []byte, err error) []byte {
	if err == nil && len(body) > RPCBodyMax {
		err = &RPCError{RPCCodeTooLarge, fmt.Sprintf("answer of %d bytes: at most %d are sent", len(body), RPCBodyMax)}
	}
	if err == nil {
		b := append(make([]byte, 0, 5+len(body)), rpcOK)
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		return append(b, body...)
	}
	re, ok := errors.AsType[*RPCError](err)
	if !ok {
		re = &RPCError{RPCCodeFailed, err.Error()}
	}
	code := oneLine(re.Code)
	detail := strings.ToValidUTF8(re.Detail[:min(len(re.Detail), rpcDetailMax)], "")
	b := append([]byte{rpcError}, byte(len(code)))
	b = append(b, code...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(detail)))
	return append(b, detail...)
}

// readRPCAnswer reads an answer's body, or the *RPCError in its place.
func readRPCAnswer(r io.Reader) ([]byte, error) {
	var status [2]byte
	if _, err := io.ReadFull(r, status[:1]); err != nil {
		return nil, err
	}
	switch status[0] {
	case rpcOK:
		body, err := readRPCBody(r)
		if re, ok := errors.AsType[*RPCError](err); ok {
			return nil, errors.New(re.Detail) // not the handler's words
		}
		return body, err
	case rpcError:
	default:
		return nil, fmt.Errorf("answer begins with unknown status %d", status[0])
	}
	if _, err := io.ReadFull(r, status[1:]); err != nil {
		return nil, err
	}
	b := make([]byte, int(status[1])+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	code, n := b[:len(b)-2], binary.BigEndian.Uint16(b[len(b)-2:])
	if n > rpcDetailMax {
		return nil, fmt.Errorf("error text of %d bytes announced, at most %d are taken", n, rpcDetailMax)
	}
	detail := make([]byte, n)
	if _, err := io.ReadFull(r, detail); err != nil {
		return nil, err
	}
	return nil, &RPCError{Code: string(code), Detail: string(detail)}
}
