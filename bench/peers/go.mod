module foreverframe/bench/peers

go 1.26.0

require github.com/tmaxmax/go-sse v0.11.0
