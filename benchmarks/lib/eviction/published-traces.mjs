import { generator, zipf } from './random.mjs'

const manyKeys = 100_000
/** Keys from this number on are read once. */
const firstOnceKey = 10_000_000

/** Sequences of reads by the parameters of published workloads. */
export const publishedTraces = {
  'YCSB zipfian': ycsbZipfian,
  'YCSB latest': (reads) => latest(reads, 0.05, 12),
  'YCSB scans': ycsbScans,
  'Twitter 4': (reads) => twitter(reads, { exponent: 1.1004, readsPerKey: 26.5, once: 0.2933 }),
  'Twitter 22': (reads) => twitter(reads, { exponent: 0.7624, readsPerKey: 4.3, once: 0.4148 }),
  'Twitter 45': (reads) => twitter(reads, { exponent: 0.6372, readsPerKey: 2.9, once: 0.4874 }),
  'Twitter 52': (reads) => twitter(reads, { exponent: 1.2117, readsPerKey: 32.6, once: 0.1936 }),
  'one-hit wonders': oneHitWonders,
  'recent, loop, recent': recentLoopRecent,
  loop: (reads) => trace(loop(reads, manyKeys), manyKeys),
  'loop of 13,000': (reads) => trace(loop(reads, 13_000), manyKeys),
}

/**
 * YCSB (Cooper et al., SoCC '10), workload C: ranks of a Zipf distribution with 0.99 over 10^10 items, which are hashed to
 * the keys of the table, as its `ScrambledZipfianGenerator` does.
 */
function ycsbZipfian(reads) {
  const next = scrambledZipf(10)
  return trace(Uint32Array.from({ length: reads }, next), manyKeys)
}

/** Workload E of YCSB: scans of 1 to 100 keys in sequence, from a key of the scrambled distribution. */
function ycsbScans(reads) {
  const random = generator(13)
  const first = scrambledZipf(14)
  let key = 0
  let left = 0
  const next = () => {
    if (left-- > 0) return ++key % manyKeys
    left = Math.floor(random() * 100)
    key = first()
    return key
  }
  return trace(Uint32Array.from({ length: reads }, next), manyKeys)
}

/** A hashed rank is as good as a random key, except for the first ones, which are read often. */
function scrambledZipf(seed) {
  const exponent = 0.99
  const items = 1e10
  const random = generator(seed)
  const integral = (rank) => (rank ** (1 - exponent) - 1) / (1 - exponent)
  const frequent = zipf(manyKeys, exponent, seed + 100)
  let sum = 0
  for (let rank = 1; rank <= manyKeys; rank++) sum += rank ** -exponent
  const frequentShare = sum / (sum + integral(items) - integral(manyKeys))
  return () =>
    random() < frequentShare
      ? (Math.imul(frequent() + 1, 0x9e3779b1) >>> 0) % manyKeys
      : Math.floor(random() * manyKeys)
}

/** Workload D of YCSB: a Zipf distribution by age. Before `inserts` of the reads, a key is added, which is the newest one. */
function latest(reads, inserts, seed, firstKey = 0) {
  const random = generator(seed)
  const age = zipf(manyKeys, 0.99, seed + 100)
  let newest = firstKey + manyKeys
  const next = () => {
    if (random() < inserts) newest++
    return newest - age()
  }
  return trace(Uint32Array.from({ length: reads }, next), manyKeys)
}

/**
 * Cache clusters of Twitter (Yang et al., OSDI '20), by the statistics in the repository of their traces, twitter/cache-trace:
 * the exponent of the Zipf distribution, the mean number of reads of a key, and the share of keys that are read once.
 */
function twitter(reads, { exponent, readsPerKey, once }) {
  const keys = Math.floor(reads / readsPerKey)
  const random = generator(15)
  const next = zipf(Math.floor(keys * (1 - once)), exponent, 16)
  let onceKey = firstOnceKey
  const read = () => (random() < once / readsPerKey ? onceKey++ : next())
  return trace(Uint32Array.from({ length: reads }, read), keys)
}

/**
 * As in S3-FIFO (Yang et al., SOSP '23): three quarters of the keys of a short sequence are read once in it. A Zipf
 * distribution over more keys than there are reads has as many.
 */
function oneHitWonders(reads) {
  const keys = Uint32Array.from({ length: reads }, zipf(reads * 4, 0.9, 17))
  return trace(keys, new Set(keys).size)
}

/**
 * The shift of "Adaptive Software Cache Management" (Einziger et al., Middleware '18): reads of recent keys, then a loop that
 * is longer than the cache, then recent ones again.
 */
function recentLoopRecent(reads) {
  const third = Math.floor(reads / 3)
  const first = latest(third, 1 / 3, 18, firstOnceKey).keys
  const last = latest(third, 1 / 3, 19, 2 * firstOnceKey).keys
  return trace(joined([first, loop(third, manyKeys / 5), last]), manyKeys)
}

/** A loop, as the trace `cs` of LIRS (Jiang and Zhang, SIGMETRICS '02). */
function loop(reads, length) {
  return Uint32Array.from({ length: reads }, (_, index) => index % length)
}

function joined(parts) {
  return Uint32Array.from(parts.flatMap((part) => [...part]))
}

function trace(keys, count) {
  return { keys, sizes: undefined, capacities: [count / 100, count / 10].map(Math.floor) }
}
