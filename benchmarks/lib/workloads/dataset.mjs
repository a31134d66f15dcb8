export const hourMs = 3_600_000
export const batchSize = 100
const count = 1_000

/** Values have the size of a typical record. */
export const users = dataset('user', 1024, user)

/** Values have the size of a feature flag or a token. */
export const flags = dataset('flag', 100, flag)

/** The flags as encoded JSON, to compare clients without the cost of encoding and parsing. */
export const flagBytes = {
  ...flags,
  values: flags.values.map((value) => Buffer.from(JSON.stringify(value))),
}

/** Keys, also in batches, and values. Each value is different, and is exactly `valueBytes` long as JSON text. */
function dataset(prefix, valueBytes, createValue) {
  const keys = Array.from({ length: count }, (_, index) => `${prefix}:${10_000 + index}`)
  const values = keys.map((_, index) => padded(createValue(index), index, valueBytes))
  const batches = Array.from({ length: count / batchSize }, (_, index) =>
    keys.slice(index * batchSize, (index + 1) * batchSize),
  )
  return { valueBytes, keys, values, batches }
}

function user(index) {
  return {
    id: index,
    name: `Person number ${index}`,
    email: `person.${index}@example.test`,
    active: index % 2 === 0,
    score: index / 8,
    tags: ['customer', `region-${index % 7}`, `plan-${index % 3}`],
    address: { street: `${index} Long Street`, city: 'Springfield', geo: { lat: 47.5, lon: 8.25 } },
    lastSeen: '2026-11-21T08:00:00.000Z',
    padding: '',
  }
}

function flag(index) {
  return { id: index, enabled: index % 2 === 0, rollout: index / 8, padding: '' }
}

function padded(value, index, valueBytes) {
  const paddingLength = valueBytes - JSON.stringify(value).length
  value.padding = `${index} lorem ipsum dolor sit amet `.repeat(valueBytes).slice(0, paddingLength)
  return value
}
