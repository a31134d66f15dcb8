export const hourMs = 3_600_000
export const batchSize = 100
const count = 1_000

/** JSON objects like those applications keep, and such as are as short as a flag or a token. */
export const objects = dataset('user', 1024, person)
export const small = dataset('flag', 100, flag)

/** The latter as they are on the wire, for comparing clients without what is done with their answers. */
export const bytes = {
  ...small,
  values: small.values.map((value) => Buffer.from(JSON.stringify(value))),
}

/** Keys and values, the latter different for each key and exactly `valueBytes` long as JSON text. */
function dataset(prefix, valueBytes, make) {
  const keys = Array.from({ length: count }, (_, index) => `${prefix}:${10_000 + index}`)
  const values = keys.map((_, index) => padded(make(index), index, valueBytes))
  const batches = Array.from({ length: count / batchSize }, (_, index) =>
    keys.slice(index * batchSize, (index + 1) * batchSize),
  )
  return { valueBytes, keys, values, batches }
}

function person(index) {
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
  const missing = valueBytes - JSON.stringify(value).length
  value.padding = `${index} lorem ipsum dolor sit amet `.repeat(valueBytes).slice(0, missing)
  return value
}
