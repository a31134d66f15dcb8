import { expect, test } from 'vitest'
import { judge } from '../scripts/soak/histories.mjs'

test('histories of Redis have an order, unless compareAndSet takes two steps', async () => {
  const { lines, violation } = await judge('redis', 2_000)
  expect(lines.length).toBeGreaterThan(100)
  expect(violation).toBeUndefined()
  const defect = 'compareAndSet compares and writes in two steps'
  // Processes that hardly run do not meet: with more time, they do.
  for (let seconds = 2; seconds < 60; seconds *= 2) {
    if ((await judge('redis', seconds * 1_000, defect)).violation !== undefined) return
  }
  expect.fail('the defect was not found')
})
