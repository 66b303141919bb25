package meter

// A count tells whether one stream is whole: its updates are numbered from 1, and
// each is to come once and in order. The zero value waits for the first.
type count struct {
	next    uint64              // the number expected next, less one
	missing map[uint64]struct{} // passed over so far
	holes   uint64              // passed over in gaps too wide to remember
}

// An arrival is what a count makes of an update.
type arrival int

const (
	inOrder arrival = iota
	late            // it comes after one that should follow it
	again           // it has come before
)

// add counts the update of that number.
func (c *count) add(number uint64) arrival {
	if number > c.next {
		c.skip(number - 1)
		c.next = number
		return inOrder
	}
	if _, ok := c.missing[number]; ok {
		delete(c.missing, number)
		return late
	}
	return again
}

// widest is the widest gap whose updates may still come late.
const widest = 1 << 16

// skip takes all up to last as missing.
func (c *count) skip(last uint64) {
	if last > c.next+widest {
		c.holes += last - c.next
		c.next = last
	}
	for ; c.next < last; c.next++ {
		if c.missing == nil {
			c.missing = make(map[uint64]struct{})
		}
		c.missing[c.next+1] = struct{}{}
	}
}

// lost returns how many of the updates up to last have not come.
func (c *count) lost(last uint64) uint64 {
	lost := c.holes
	for number := range c.missing {
		if number <= last {
			lost++
		}
	}
	if last > c.next {
		lost += last - c.next
	}
	return lost
}
