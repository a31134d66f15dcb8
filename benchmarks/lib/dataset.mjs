export const hourMs = 3_600_000
export const valueBytes = 1024
export const batchSize = 100
const count = 1_000

export const keys = Array.from({ length: count }, (_, index) => `user:${10_000 + index}`)
export const values = keys.map((_, index) => makeValue(index))
export const batches = Array.from({ length: count / batchSize }, (_, index) =>
  keys.slice(index * batchSize, (index + 1) * batchSize),
)

/** A JSON object like those applications keep, of exactly `valueBytes` as JSON text, different for each key. */
function makeValue(index) {
  const value = {
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
  const missing = valueBytes - JSON.stringify(value).length
  value.padding = `${index} lorem ipsum dolor sit amet `.repeat(valueBytes).slice(0, missing)
  return value
}
