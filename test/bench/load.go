package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// load keeps every connection busy with requests for a while.
type load struct {
	Address string
	TLS     *tls.Config // nil speaks plain HTTP
	// Next gives the requests one by one, whole and as they go over the wire; nil ends a connection's part. It is called concurrently.
	Next        func() []byte
	Status      int // every answer must have it; 0 takes any
	Connections int
	Duration    time.Duration
	// Every is the time between two requests of a connection; 0 sends the next one as soon as the answer is there.
	Every time.Duration
}

// stats is what a load measured. Latencies are of single requests, seen by the client.
type stats struct {
	Requests  int
	PerSecond float64
	P50, P99  time.Duration
}

// run applies the load and fails on the first answer that is not the expected one.
func (l load) run() (stats, error) {
	var (
		group     sync.WaitGroup
		latencies = make([][]time.Duration, l.Connections)
		failures  = make(chan error, l.Connections)
		start     = time.Now()
		end       = start.Add(l.Duration)
	)
	for i := range l.Connections {
		group.Go(func() {
			seen, err := l.connection(end)
			latencies[i] = seen
			if err != nil {
				failures <- err
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	close(failures)
	if err := <-failures; err != nil {
		return stats{}, err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return stats{}, fmt.Errorf("%s answered nothing within %s", l.Address, l.Duration)
	}
	slices.Sort(all)
	return stats{
		Requests:  len(all),
		PerSecond: float64(len(all)) / elapsed.Seconds(),
		P50:       all[len(all)/2],
		P99:       all[len(all)*99/100],
	}, nil
}

func (l load) connection(end time.Time) ([]time.Duration, error) {
	conn, err := l.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 16<<10)
	var latencies []time.Duration
	for due := time.Now(); ; due = due.Add(l.Every) {
		if wait := time.Until(due); l.Every > 0 && wait > 0 {
			time.Sleep(wait)
		}
		begin := time.Now()
		if begin.After(end) {
			return latencies, nil
		}
		request := l.Next()
		if request == nil {
			return latencies, nil
		}
		if l.Every > 0 {
			// A request that could not go out when it was due has waited for that too.
			begin = due
		}
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return nil, err
		}
		if l.Status != 0 && response.StatusCode != l.Status {
			return nil, fmt.Errorf("%s answered %s, expected %d", l.Address, response.Status, l.Status)
		}
		latencies = append(latencies, time.Since(begin))
	}
}

func (l load) dial() (net.Conn, error) {
	if l.TLS != nil {
		return tls.Dial("tcp", l.Address, l.TLS)
	}
	return net.Dial("tcp", l.Address)
}
