import { setTimeout as sleep } from 'node:timers/promises'
import { memory } from '@stowage/memory'
import {
  conformance,
  findPlantedDefects,
  ManualClock,
  plantedDefects,
  referenceStore,
} from '@stowage/testing'
import { expect, test } from 'vitest'

const names = plantedDefects.map(({ name }) => name)

test.each([
  ['referenceStore', (clock: ManualClock) => referenceStore({ clock })],
  ['memory', (clock: ManualClock) => memory({ clock })],
] as const)('the kit finds all defects that are planted in %s', async (_name, createStore) => {
  const clock = new ManualClock()
  const wait = (ms: number) => clock.advance(ms)
  const reports = await findPlantedDefects(() => createStore(clock), { wait, exact: true })
  expect(reports.map(({ defect }) => defect)).toEqual(names)
  expect(reports.filter(({ foundBy }) => foundBy === undefined)).toEqual([])
  const rules = conformance.map(({ group, name }) => `${group}: ${name}`)
  for (const { foundBy } of reports) expect(rules).toContain(foundBy)
})

test('the kit finds a planted defect by the system clock', async () => {
  const defects = plantedDefects.filter(({ groups }) => groups.includes('read'))
  const wait = async (ms: number) => void (await sleep(ms))
  const reports = await findPlantedDefects(() => referenceStore(), { wait, defects })
  expect(reports.map(({ foundBy }) => foundBy)).not.toContain(undefined)
})

test('a defect that no case notices is reported as not found', async () => {
  const harmless = { name: 'none', groups: ['read'], plant: <S>(store: S) => store } as const
  const options = { wait: () => {}, defects: [harmless] }
  expect(await findPlantedDefects(() => referenceStore(), options)).toEqual([
    { defect: 'none', foundBy: undefined },
  ])
})

test('a store that fails without a planted defect is an error', async () => {
  const [broken, planted] = plantedDefects.filter(({ groups }) => groups.includes('atomic'))
  if (broken === undefined || planted === undefined) throw new Error('no defects')
  const createStore = () => broken.plant(referenceStore())
  const finding = findPlantedDefects(createStore, { wait: () => {}, defects: [planted] })
  await expect(finding).rejects.toThrow(/^atomic: .* fails without a planted defect/)
})
