package trust

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// stateKey is where a Secret has the times of the phases.
const stateKey = "state.json"

// keyState is what stateKey holds.
type keyState struct {
	Rotation string                            `json:"rotation,omitempty"`
	Phases   map[snapshot.KeyPhase]phaseRecord `json:"phases"`
}

type phaseRecord struct {
	Since  time.Time `json:"since"`
	Served time.Time `json:"served,omitzero"`
}

// Data returns the set as the data of a Secret: current.crt and current.key, and the same for next and previous, as PEM, and state.json
// with the times when each phase began and was first served.
func (s KeySet) Data() map[string][]byte {
	data := map[string][]byte{}
	state := keyState{Rotation: s.Rotation, Phases: map[snapshot.KeyPhase]phaseRecord{}}
	for _, phase := range phases {
		key := s.find(phase)
		if key == nil {
			continue
		}
		name := strings.ToLower(string(phase))
		data[name+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: key.Certificate})
		data[name+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key.PrivateKey})
		state.Phases[phase] = phaseRecord{Since: key.Since, Served: key.Served}
	}
	// Strings and times between the years 0 and 9999 always marshal.
	data[stateKey], _ = json.Marshal(state)
	return data
}

var phases = []snapshot.KeyPhase{snapshot.KeyCurrent, snapshot.KeyNext, snapshot.KeyPrevious}

// KeySetFromData reads what Data wrote. No data is an empty set. The error names the key of the data and quotes nothing; a set that cannot
// be read must not be written over, because partners know its certificates.
func KeySetFromData(data map[string][]byte) (KeySet, error) {
	var state keyState
	if raw, ok := data[stateKey]; ok {
		if err := json.Unmarshal(raw, &state); err != nil {
			return KeySet{}, fmt.Errorf("%s is not what was written there", stateKey)
		}
	}
	set := KeySet{Rotation: state.Rotation}
	for _, phase := range phases {
		name := strings.ToLower(string(phase))
		certificate, key := data[name+".crt"], data[name+".key"]
		if certificate == nil && key == nil {
			continue
		}
		pair, err := ParseKeyPair(certificate, key)
		if err != nil {
			text := strings.NewReplacer("tls.crt", name+".crt", "tls.key", name+".key").Replace(err.Error())
			return KeySet{}, fmt.Errorf("the %s key %s", name, text)
		}
		pair.Phase = phase
		record := state.Phases[phase]
		set.Keys = append(set.Keys, SPKeyState{SPKey: pair, Since: record.Since, Served: record.Served})
	}
	return set, nil
}
