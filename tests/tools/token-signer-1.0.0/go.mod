module nigari.invalid/tools/token-signer

go 1.25
