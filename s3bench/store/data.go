package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
)

const (
	// chunk is how much content comes from one pair of offsets into the pools;
	// both pools together stay in a processor's second cache.
	chunk    = 32 << 10
	poolSize = 128 << 10
)

// Data is random content that no storage can compress or share. Every chunk of
// it is the exclusive or of two stretches of random bytes, whose offsets no two
// chunks have in common: as random as a cipher's output, and seven times
// cheaper. The same seed and object give the same bytes, from any offset.
type Data struct {
	pools  *[2][poolSize]byte
	object uint64
	size   int64
	offset int64
}

// NewData makes content from a seed; Reset selects the object.
func NewData(seed uint64) *Data {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	block, _ := aes.NewCipher(key[:]) // fails for another length only
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	d := &Data{pools: new([2][poolSize]byte)}
	for i := range d.pools {
		stream.XORKeyStream(d.pools[i][:], d.pools[i][:])
	}
	return d
}

// Another is content of the same seed, for another worker.
func (d *Data) Another() *Data { return &Data{pools: d.pools} }

// Reset begins the content of another object.
func (d *Data) Reset(object uint64, size int64) *Data {
	d.object, d.size, d.offset = object, size, 0
	return d
}

// Read fills p with content.
func (d *Data) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), d.size-d.offset)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	for filled := 0; filled < len(p); {
		at := int(d.offset % chunk)
		n := min(len(p)-filled, chunk-at)
		h := mix(d.object<<24 + uint64(d.offset/chunk))
		a := int(h%(poolSize-chunk)) + at
		b := int((h>>32)%(poolSize-chunk)) + at
		subtle.XORBytes(p[filled:filled+n], d.pools[0][a:a+n], d.pools[1][b:b+n])
		filled += n
		d.offset += int64(n)
	}
	return len(p), nil
}

// mix spreads a counter over all bits: the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Seek sets the offset of the next Read.
func (d *Data) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += d.offset
	case io.SeekEnd:
		offset += d.size
	}
	if offset < 0 || offset > d.size {
		return 0, errors.New("seek outside of the content")
	}
	d.offset = offset
	return offset, nil
}
