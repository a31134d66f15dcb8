// Reads one key without a pause, nearly always within a snapshot: fork(read-until-killed.mjs, [path]).
import { lmdb } from '@stowage/lmdb'

const store = lmdb({ path: process.argv[2] ?? '', maxBytes: '8MiB' })
await store.get('key')
process.send?.('reads')
for (;;) store.get('key')
