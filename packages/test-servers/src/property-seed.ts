const fixedSeed = 20_261_123

/**
 * The seed of the property tests of a file. It is fixed, so that a run repeats the one before. With TEST_TIER=full it is
 * random, to find what no run has found yet, and printed: PROPERTY_SEED=<seed> repeats such a run.
 */
export function propertySeed(): number {
  const given = Number(process.env.PROPERTY_SEED ?? Number.NaN)
  if (Number.isInteger(given)) return given
  if (process.env.TEST_TIER !== 'full') return fixedSeed
  const seed = Math.floor(Math.random() * 2 ** 31)
  process.stdout.write(`Property tests run with PROPERTY_SEED=${seed}\n`)
  return seed
}
