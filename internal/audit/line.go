package audit

// Line is a record as it was sealed: the exact line that the hash covers, without the line break.
type Line struct {
	ID       string
	Writer   string
	Sequence uint64
	Line     []byte
}
