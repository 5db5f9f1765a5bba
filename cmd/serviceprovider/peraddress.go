package main

import (
	"log/slog"
	"net"
	"sync"
)

// perAddress is a listener that takes so many connections at a time from one address, so that none takes the place of the others. One too many is closed at once.
type perAddress struct {
	net.Listener
	most int
	log  *slog.Logger

	mutex sync.Mutex
	open  map[string]int
}

func newPerAddress(l net.Listener, most int, log *slog.Logger) *perAddress {
	return &perAddress{Listener: l, most: most, log: log, open: map[string]int{}}
}

func (l *perAddress) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if l.take(address) {
			return &counted{Conn: conn, gone: sync.OnceFunc(func() { l.giveBack(address) })}, nil
		}
		l.log.Warn("a connection was refused: its address has as many as it may", "address", address, "connections", l.most)
		conn.Close()
	}
}

func (l *perAddress) take(address string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.open[address] >= l.most {
		return false
	}
	l.open[address]++
	return true
}

func (l *perAddress) giveBack(address string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.open[address]--; l.open[address] == 0 {
		delete(l.open, address)
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	gone func()
}

func (c *counted) Close() error {
	c.gone()
	return c.Conn.Close()
}
