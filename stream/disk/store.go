package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"foreverframe/stream"

	"go.etcd.io/bbolt"
)

// A Store keeps the topics of one hub in one directory, for one process. Open
// makes it. Its methods may be called by several goroutines at once.
type Store struct {
	path    string
	every   time.Duration // between two writes; zero means at once
	running sync.WaitGroup
	stop    chan struct{}

	mu      sync.Mutex // guards the rest, also while the disk works
	db      *bbolt.DB  // nil after a write that failed, and after Close
	closed  bool
	broken  error // why the file cannot be used any more in this process
	lossy   bool  // it was not closed the last time
	state   state
	index   index
	doubt   bool           // what has failed may have got into the file
	waiting stream.Changes // accepted but not written
	size    int            // of what is waiting, in bytes
	failed  error          // why it could not be written the last time
}

// ErrClosed means that the store has been closed.
var ErrClosed = errors.New("the store is closed")

// maxWaiting is the size of what waits at which it is written without waiting
// longer.
const maxWaiting = 4 << 20

// Open opens the store in dir, and makes both if there are none. With every zero,
// Write returns when all is safe from the end of the process and of the machine.
// Else it returns at once, and all is written together at this interval: what
// comes within it is faster, and lost if the process is killed. An error says
// what to do: another process may use the directory, or its file may be damaged.
func Open(dir string, every time.Duration) (*Store, error) {
	s := &Store{path: filepath.Join(dir, "topics.db"), every: every, stop: make(chan struct{})}
	if err := create(dir, s.path); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		s.db.Close()
		return nil, err
	}
	if every > 0 {
		s.running.Go(s.run)
	}
	return s, nil
}

// begin reads the state, and says in the file that the store is open.
func (s *Store) begin() (err error) {
	if s.state, err = readState(s.db); err != nil {
		return damaged(s.path, err)
	}
	s.lossy = s.state.open
	if s.every == 0 {
		return nil
	}
	opened := s.state
	opened.open = true
	if err := s.update(func(tx *bbolt.Tx) error { return putState(tx, opened) }); err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	s.state = opened
	return nil
}

// run writes what is waiting, again and again, until Close.
func (s *Store) run() {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.mu.Lock()
			s.flush()
			s.mu.Unlock()
		case <-s.stop:
			return
		}
	}
}

// Write makes changes, as stream.Store says. After an error it opens the file
// anew the next time, so it works again when what was wrong has gone.
func (s *Store) Write(changes stream.Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.every == 0:
		return s.commit(changes)
	case s.failed != nil:
		return s.failed
	}
	s.add(changes)
	if s.size > maxWaiting {
		s.flush()
	}
	return nil
}

// add adds changes to what is waiting.
func (s *Store) add(changes stream.Changes) {
	w := &s.waiting
	w.Records = append(w.Records, changes.Records...)
	w.Receipts = append(w.Receipts, changes.Receipts...)
	w.Forget = append(w.Forget, changes.Forget...)
	w.ForgetReceipts = max(w.ForgetReceipts, changes.ForgetReceipts)
	w.Floor, w.Gap = max(w.Floor, changes.Floor), max(w.Gap, changes.Gap)
	s.size += len(changes.Forget) + 1
	for _, r := range changes.Records {
		for _, u := range r.Updates {
			s.size += len(u.Action) + len(u.Target) + len(u.HTML)
		}
	}
}

// flush writes what is waiting. It stays until it is written.
func (s *Store) flush() error {
	if s.size == 0 {
		return nil
	}
	if s.failed = s.commit(s.waiting); s.failed == nil {
		s.waiting, s.size = stream.Changes{}, 0
	}
	return s.failed
}

// Close writes what is waiting and gives the directory free.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.running.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.flush()
	if s.broken != nil || s.db == nil {
		return err
	}
	if s.state.open && err == nil {
		s.state.open = false
		err = s.update(func(tx *bbolt.Tx) error { return putState(tx, s.state) })
	}
	return errors.Join(err, s.db.Close())
}
