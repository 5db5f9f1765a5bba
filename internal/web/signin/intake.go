package signin

import (
	"net/http"
	"sync"

	"sallyport.dev/sallyport/internal/saml"
)

// What the bodies that are being read may take together, and those of one client, in shares: 64 MiB and 16 MiB.
const (
	maxIntake          = 256
	maxIntakePerClient = 64
)

// shares is the room that so many bytes take: one for a message of the usual size, more for the larger ones that may be allowed.
func shares(bytes int64) int {
	return max(1, int((bytes+saml.DefaultMaxMessage-1)/saml.DefaultMaxMessage))
}

// bodyShares is the room that the body of a request may come to take: what it announces, or as much as is allowed.
func bodyShares(r *http.Request, maxBody int64) int {
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		return shares(maxBody)
	}
	return shares(r.ContentLength)
}

// intake bounds how many bodies are read at once, in all and of one client: one that comes drop by drop is held in memory for as long as the server waits for it.
type intake struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

func newIntake() *intake { return &intake{of: map[string]int{}} }

// enter is before a body is read that may take so many shares, and leave after it. Nobody waits: ok is false when too much is being read.
func (i *intake) enter(client string, shares int) (leave func(), ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all+shares > maxIntake || i.of[client]+shares > maxIntakePerClient {
		return nil, false
	}
	i.all += shares
	i.of[client] += shares
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.all -= shares
		if i.of[client] -= shares; i.of[client] == 0 {
			delete(i.of, client)
		}
	}, true
}
