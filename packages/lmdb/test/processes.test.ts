import { join } from 'node:path'
import { isFullTier } from '@stowage/test-servers'
import { expect, test } from 'vitest'
import { killRounds, randomCalls } from './processes/harness.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()

test('four processes make random calls, and no counter or value is wrong', async () => {
  const path = join(folder, 'random')
  const ms = isFullTier ? 3_000 : 300
  const { problems } = await randomCalls({ path, processes: 4, ms, minCalls: 300 })
  expect(problems).toEqual([])
})

test('a process that is killed loses nothing that was acknowledged', async () => {
  const path = join(folder, 'killed')
  const rounds = isFullTier ? 10 : 2
  const { problems, writes, survivorWrites } = await killRounds({ path, rounds })
  expect(problems).toEqual([])
  expect(writes).toBeGreaterThan(10 * rounds)
  expect(survivorWrites).toBeGreaterThan(10 * rounds)
})
