import type { Awaitable, CacheStore } from '@stowage/core'
import { type StoreContract, wrapStore } from '@stowage/core/driver'
import { type ConformanceOptions, conformance } from './conformance/conform.ts'
import type { ConformanceCase, ConformanceGroup } from './conformance/support/case.ts'

/** A defect that a driver may have, and that its tests have to find. */
export interface PlantedDefect {
  /** What a store with the defect does. */
  readonly name: string
  /** The groups of `conformance` that find it. */
  readonly groups: readonly ConformanceGroup[]
  /** Returns a store that has the defect, and passes everything else to `store`. */
  plant(store: CacheStore): CacheStore
}

/** Whether the tests have found a planted defect. */
export interface PlantedDefectReport {
  /** The name of the defect. */
  readonly defect: string
  /** The group and the name of the case that has failed. `undefined` if all have passed. */
  readonly foundBy: string | undefined
}

type AnyStore = StoreContract<CacheStore['payload'], unknown>
type Methods = Partial<Record<keyof CacheStore, unknown>>

/** Replaces methods of a store. */
function defect(
  name: string,
  groups: readonly ConformanceGroup[],
  methods: (store: AnyStore) => Methods,
): PlantedDefect {
  const plant = (store: CacheStore) =>
    Object.assign(
      wrapStore(store, (_operation, call) => call()),
      methods(store as AnyStore),
    )
  return { name, groups, plant }
}

/**
 * Ten defects that drivers have had. A test of a driver is worth what it finds of them.
 *
 * @example
 * for (const { name, plant } of plantedDefects) console.log(name, plant(store).name)
 */
export const plantedDefects: readonly PlantedDefect[] = [
  defect('add replaces a stored value', ['atomic'], (store) => ({
    add: async (key: string, item: unknown, ttl?: number) => {
      const isAdded = await store.add(key, item, ttl)
      if (!isAdded) await store.set(key, item, ttl)
      return isAdded
    },
  })),
  defect('compareAndSet compares and writes in two steps', ['atomic'], (store) => ({
    compareAndSet: async (key: string, expected: unknown, next: unknown, ttl?: number) => {
      if (!(await store.compareAndSet(key, expected, expected, ttl))) return false
      await (next === undefined ? store.delete(key) : store.set(key, next, ttl))
      return true
    },
  })),
  defect('set stores without the ttl', ['expiry'], (store) => ({
    set: (key: string, item: unknown) => store.set(key, item),
  })),
  defect('touch leaves the ttl as it is', ['expiry'], (store) => ({
    touch: async (key: string) => (await store.get(key, { consistency: 'strong' })) !== undefined,
  })),
  defect('increment extends the life of a counter', ['counters', 'expiry'], (store) => ({
    increment: async (key: string, by: number, ttl?: number) => {
      const value = await store.increment(key, by, ttl)
      if (ttl !== undefined) await store.touch(key, ttl)
      return value
    },
  })),
  defect('getMany leaves out repeated keys', ['read'], (store) => ({
    getMany: (keys: readonly string[], options?: object) =>
      store.getMany([...new Set(keys)], options),
  })),
  defect('a large setMany loses its last entry', ['batches'], (store) => ({
    setMany: (entries: readonly (readonly [string, unknown])[], ttl?: number) =>
      store.setMany(entries.length > 100 ? entries.slice(0, -1) : entries, ttl),
  })),
  defect('a read overtakes the write before it', ['order'], (store) => ({
    set: async (key: string, item: unknown, ttl?: number) => {
      await new Promise(setImmediate)
      await store.set(key, item, ttl)
    },
  })),
  defect('keys that differ in case are one key', ['keys'], (store) => {
    const lower = (key: string) => key.toLowerCase()
    return {
      get: (key: string, ...rest: []) => store.get(lower(key), ...rest),
      set: (key: string, item: unknown, ttl?: number) => store.set(lower(key), item, ttl),
      getMany: (keys: readonly string[], ...rest: []) => store.getMany(keys.map(lower), ...rest),
    }
  }),
  defect('increment replaces a value that is not a number', ['counters'], (store) => ({
    increment: async (key: string, by: number, ttl?: number) => {
      try {
        return await store.increment(key, by, ttl)
      } catch {
        await store.delete(key)
        return store.increment(key, by, ttl)
      }
    },
  })),
]

/**
 * Plants defects in a driver, one at a time, and runs the cases that have to find it. All stores may share one server.
 *
 * @param createStore creates a store of the driver
 * @param options those of {@link conform}, and other `defects`
 * @throws Error if a case fails also without a defect
 * @example
 * const clock = new ManualClock()
 * const wait = (ms: number) => clock.advance(ms)
 * const reports = await findPlantedDefects(() => referenceStore({ clock }), { wait, exact: true })
 * console.log(reports.filter(({ foundBy }) => foundBy === undefined)) // []
 */
export async function findPlantedDefects(
  createStore: () => Awaitable<CacheStore>,
  options: Omit<ConformanceOptions, 'groups' | 'concurrent'> & {
    readonly defects?: readonly PlantedDefect[] | undefined
  },
): Promise<PlantedDefectReport[]> {
  const { defects = plantedDefects, ...context } = options
  const reports: PlantedDefectReport[] = []
  for (const { name, groups, plant } of defects) {
    const createBroken = async () => plant(await createStore())
    const found = await firstFailure(groups, (each) => passes(each, createBroken, context))
    if (found !== undefined && !(await passes(found, createStore, context))) {
      throw new Error(`${label(found)} fails without a planted defect. Let conform pass first.`)
    }
    reports.push({ defect: name, foundBy: found && label(found) })
  }
  return reports
}

async function firstFailure(
  groups: readonly ConformanceGroup[],
  isPassed: (each: ConformanceCase) => Promise<boolean>,
): Promise<ConformanceCase | undefined> {
  for (const each of conformance) {
    if (groups.includes(each.group) && !(await isPassed(each))) return each
  }
  return undefined
}

async function passes(
  { run }: ConformanceCase,
  createStore: () => Awaitable<CacheStore>,
  context: Pick<ConformanceOptions, 'wait' | 'exact' | 'sharedBackend'>,
): Promise<boolean> {
  const store = await createStore()
  try {
    await run({ ...context, createStore, store })
    return true
  } catch {
    return false
  } finally {
    await store.close()
  }
}

function label({ group, name }: ConformanceCase): string {
  return `${group}: ${name}`
}
