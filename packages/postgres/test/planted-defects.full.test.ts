import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, postgres } from '@stowage/postgres'
import { sharedPostgres } from '@stowage/test-servers'
import { findPlantedDefects, plantedDefects } from '@stowage/testing'
import { expect, test } from 'vitest'

test('the kit finds all defects that are planted in the driver', async () => {
  const { url, stop } = await sharedPostgres()
  await ensureTable({ url })
  const createStore = () => postgres({ url, timeout: '2m' })
  const wait = async (ms: number) => void (await sleep(ms))
  const reports = await findPlantedDefects(createStore, { wait, sharedBackend: true })
  expect(reports).toHaveLength(plantedDefects.length)
  expect(reports.filter(({ foundBy }) => foundBy === undefined)).toEqual([])
  await stop()
}, 600_000)
