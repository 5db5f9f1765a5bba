package signin

import "sync"

// intakeBytes is what the bodies that are being read may take together, if all of them are as large as is allowed.
const intakeBytes = 64 << 20

// intake bounds how many bodies are read at once, in all and of one client: one that comes drop by drop is held in memory for as long as the server waits for it.
type intake struct {
	most, mostPerClient int

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newIntake(maxBody int64) *intake {
	most := int(max(16, intakeBytes/maxBody))
	return &intake{most: most, mostPerClient: most / 4, of: map[string]int{}}
}

// enter is before a body is read, and leave after it. Nobody waits: ok is false when too many are being read.
func (i *intake) enter(client string) (leave func(), ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all >= i.most || i.of[client] >= i.mostPerClient {
		return nil, false
	}
	i.all++
	i.of[client]++
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.all--
		if i.of[client]--; i.of[client] == 0 {
			delete(i.of, client)
		}
	}, true
}
