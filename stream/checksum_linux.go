package stream

import "hash/crc32"

// This file is the checksum of gzip (RFC 1952, section 8) for many responses that
// have most of their bytes in common: that of a whole comes from those of its
// parts. It is the remainder of a polynomial over GF(2), in which the coefficient
// of x^0 is the highest bit.

// A checksum is the CRC-32 of some bytes and their number, modulo 2^32. The zero
// value is that of none.
type checksum struct{ crc, size uint32 }

// A summed is the checksum of bytes that follow others, with x to the power of
// the number of its bits, by which those before them move.
type summed struct {
	checksum
	power uint32 // never 0
}

func sum(b []byte) summed {
	size := uint32(len(b))
	return summed{checksum{crc32.ChecksumIEEE(b), size}, power(size)}
}

// add makes c the checksum of its bytes and those that follow them.
func (c *checksum) add(s summed) {
	c.crc = multiply(c.crc, s.power) ^ s.crc
	c.size += s.size
}

// multiply returns a × b modulo the polynomial of the checksum.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// power returns x to the power of eight times n.
func power(n uint32) uint32 {
	product, square := uint32(1)<<31, uint32(1)<<23
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			product = multiply(product, square)
		}
		square = multiply(square, square)
	}
	return product
}
