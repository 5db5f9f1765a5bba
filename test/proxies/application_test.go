package proxies

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

// application answers every request with the head that it got, byte for byte: it parses as little as it can, so that nothing is tidied up on the way.
// A WebSocket handshake is accepted, and then what comes in goes out again.
type application struct {
	address string

	mu   sync.Mutex
	seen []string
}

// tempDir is removed with the machine's other temporary files; the world lives as long as the process.
func tempDir() (string, error) { return os.MkdirTemp("", "sallyport-proxies-") }

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func newApplication() (*application, error) {
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	a := &application{address: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go a.serve(connection)
		}
	}()
	return a, nil
}

// webSocketAccept answers the key of RFC 6455 1.3, which the tests send.
const webSocketAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// printed is what the application answers with.
type printed struct{ Head, Body string }

func (a *application) serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		head, err := readHead(reader)
		if err != nil {
			return
		}
		a.mu.Lock()
		a.seen = append(a.seen, head)
		a.mu.Unlock()
		if strings.EqualFold(headerOf(head, "upgrade"), "websocket") {
			_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+webSocketAccept+"\r\n\r\n")
			_, _ = io.Copy(connection, reader)
			return
		}
		body, err := readBody(reader, head)
		if err != nil {
			return
		}
		answer, err := json.Marshal(printed{head, body})
		if err != nil {
			return
		}
		_, err = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(answer))+"\r\n\r\n"+string(answer))
		if err != nil {
			return
		}
	}
}

func readHead(reader *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == "\r\n" && head.Len() > 0 {
			return head.String(), nil
		}
		head.WriteString(line)
	}
}

func readBody(reader *bufio.Reader, head string) (string, error) {
	request, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head+"\r\n"), reader)))
	if err != nil {
		return "", nil //nolint:nilerr // what is no request has no body
	}
	body, err := io.ReadAll(request.Body)
	return string(body), err
}

func headerOf(head, name string) string {
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// take returns the heads of the requests that arrived since the last call.
func (a *application) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}
