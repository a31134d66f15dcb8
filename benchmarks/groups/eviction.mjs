import { lru } from '../contestants/eviction/lru.mjs'
import { s3Fifo } from '../contestants/eviction/s3-fifo.mjs'
import { sieve } from '../contestants/eviction/sieve.mjs'
import { stowage } from '../contestants/eviction/stowage.mjs'
import { wTinyLfu } from '../contestants/eviction/w-tiny-lfu.mjs'
import { runTraces } from '../lib/eviction/run-traces.mjs'

/** Hit ratios of eviction policies. */
export default {
  run: runTraces,
  contestants: { 'lru-cache': lru, stowage },
  peers: { sieve, 's3-fifo': s3Fifo, 'w-tiny-lfu': wTinyLfu },
}
