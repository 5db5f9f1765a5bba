package management

import (
	"net/http"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

// auditRecords takes the operator's records into the log. One that was taken before, by any pod, is not taken again.
func (m *Server) auditRecords(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Records []audit.Incoming `json:"records"`
	}
	if err := body(r, &in); err != nil {
		return err
	}
	records := make([]store.KeyedRecord, 0, len(in.Records))
	for _, record := range in.Records {
		if len(record.Key) < 16 || len(record.Key) > 128 {
			return status(http.StatusBadRequest, "key %q does not have 16 to 128 characters", record.Key)
		}
		if !record.Type.FromOperator() {
			return status(http.StatusBadRequest, "records of type %s are not the operator's to write", record.Type)
		}
		records = append(records, store.KeyedRecord{Key: record.Key, Record: record.Record()})
	}
	added, err := m.Store.WriteAuditOnce(r.Context(), records...)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int{"added": added})
}
