import { publishedTraces } from './published-traces.mjs'
import { generator, zipf } from './random.mjs'

/** Keys below this number are those of the Zipf distribution. Scans and bursts use others. */
const zipfKeys = 100_000
const firstScanKey = 1_000_000
const firstBurstKey = 2_000_000

/**
 * The sequences of reads for which the hit ratios are measured. `capacities` are numbers of entries, or of bytes where
 * `sizeOf` is given. A key is a number.
 */
export const traces = {
  'zipf 1.0': (reads) => zipfTrace(reads, 1),
  'zipf 0.8': (reads) => zipfTrace(reads, 0.8),
  'zipf 1.0, 30 % scans': scanTrace,
  bursts: burstTrace,
  loops: loopTrace,
  sizes: sizeTrace,
  'sizes, 30 % scans': (reads) => withSizes(scanTrace(reads).keys),
  ...publishedTraces,
}

function zipfTrace(reads, exponent) {
  const next = zipf(zipfKeys, exponent, 1)
  return trace(Uint32Array.from({ length: reads }, next))
}

/** 30 % of the reads belong to scans, whose keys are read once. */
function scanTrace(reads) {
  const random = generator(2)
  const next = zipf(zipfKeys, 1, 3)
  let scanned = firstScanKey
  return trace(Uint32Array.from({ length: reads }, () => (random() < 0.3 ? scanned++ : next())))
}

/** Half of the reads are for keys that are popular for a short time: ten reads each, within a few hundred. */
function burstTrace(reads) {
  const random = generator(4)
  const next = zipf(zipfKeys, 1, 5)
  const active = Array.from({ length: 30 }, (_, index) => ({
    key: firstBurstKey + index,
    left: 10,
  }))
  let unused = firstBurstKey + active.length
  const burst = () => {
    const index = Math.floor(random() * active.length)
    const { key } = active[index]
    active[index].left--
    if (active[index].left === 0) active[index] = { key: unused++, left: 10 }
    return key
  }
  return trace(Uint32Array.from({ length: reads }, () => (random() < 0.5 ? burst() : next())))
}

/** A third of the reads go around in a loop that is longer than the smaller cache. */
function loopTrace(reads) {
  const random = generator(6)
  const next = zipf(zipfKeys, 1, 7)
  let at = 0
  const loop = () => firstScanKey + (at++ % 5_000)
  return trace(Uint32Array.from({ length: reads }, () => (random() < 1 / 3 ? loop() : next())))
}

function sizeTrace(reads) {
  return withSizes(Uint32Array.from({ length: reads }, zipf(zipfKeys, 1, 8)))
}

/** The sizes of the values are distributed from 100 bytes to 100 KB. The capacity is one of bytes. */
function withSizes(keys) {
  const random = generator(9)
  const count = keys.reduce((max, key) => Math.max(max, key + 1), zipfKeys)
  const sizes = Uint32Array.from({ length: count }, () =>
    Math.floor(100 * 1_000 ** (random() ** 3)),
  )
  const total = sizes.subarray(0, zipfKeys).reduce((sum, size) => sum + size, 0)
  return { keys, sizes, capacities: [total / 100, total / 10] }
}

function trace(keys) {
  return { keys, sizes: undefined, capacities: [zipfKeys / 100, zipfKeys / 10] }
}
