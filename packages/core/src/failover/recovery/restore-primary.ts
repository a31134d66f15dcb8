import { CacheError } from '../../errors.ts'
import {
  createIdAfter,
  type GenerationId,
  isNewer,
  newestOf,
  parseId,
} from '../../generations/generation-id.ts'
import { idNameOf } from '../../generations/id-copies.ts'
import { type ByteStore, type Payload, strongRead } from '../../store.ts'
import { replaceSeen } from '../../updates/conditional-write.ts'
import { toText } from '../../values/payload.ts'
import { outcomeOf } from '../../wrappers/batch-error.ts'
import type { Fallback } from '../fallback/fallback.ts'
import type { UnsettledKeys } from './unsettled-keys.ts'

const maxKeys = 1_000

type Outcomes = readonly PromiseSettledResult<unknown>[]

/**
 * Deletes keys from the primary store, whose items are outdated. Ids of generations are replaced by newer ones instead:
 * a deleted id could be restored by a process that knows it. Resolves to the outcome of each key.
 */
export async function restorePrimary(
  primary: ByteStore,
  fallback: Fallback,
  unsettled: UnsettledKeys,
  keys: readonly string[],
): Promise<Outcomes> {
  const items: string[] = []
  const copiesOfIds = new Map<string, string[]>()
  for (const key of keys) {
    const name = idNameOf(key)
    const copies = name === undefined ? items : copiesOfIds.get(name)
    if (copies === undefined) copiesOfIds.set(name as string, [key])
    else copies.push(key)
  }
  const outcomes = new Map<string, PromiseSettledResult<unknown>>()
  const record = async (some: readonly string[], restored: Promise<Outcomes>) => {
    const results = await restored.catch((error) => some.map((_, index) => outcomeOf(error, index)))
    for (const [index, key] of some.entries()) outcomes.set(key, results[index] as Outcomes[0])
  }
  const raised = [...copiesOfIds.values()].map((copies) =>
    record(copies, raiseGeneration(primary, fallback, unsettled, copies)),
  )
  for (let from = 0; from < items.length; from += maxKeys) {
    const some = items.slice(from, from + maxKeys)
    await record(some, deleteItems(primary, some))
  }
  await Promise.all(raised)
  return keys.map((key) => outcomes.get(key) as Outcomes[0])
}

async function deleteItems(primary: ByteStore, keys: readonly string[]): Promise<Outcomes> {
  if (keys.length === 1) await primary.delete(keys[0] as string)
  else await primary.deleteMany(keys)
  return keys.map(() => ({ status: 'fulfilled', value: undefined }))
}

const maxConflicts = 5

/**
 * Begins a new generation in the primary store, unless this process has used the one that is stored there, and no other,
 * during the outage. An id that the fallback store has had for a while is not continued: what was written with it in both
 * stores may be older than what other processes have written with the id of the primary store.
 *
 * @param keys of copies of one id. They receive the same new id.
 */
export async function raiseGeneration(
  primary: ByteStore,
  fallback: Fallback,
  unsettled: UnsettledKeys,
  keys: readonly string[],
): Promise<PromiseSettledResult<unknown>[]> {
  const [copies, fallbackIds] = await Promise.all([
    Promise.allSettled(keys.map(async (key) => primary.get(key, strongRead))),
    Promise.all(keys.map(async (key) => idOf(await fallback.get(key)))),
  ])
  const current = newestOf(copies.map((copy) => idOf(storedIn(copy))))
  const isKept = (key: string, index: number) =>
    current !== undefined && unsettled.hasUsedOnly(key, current.text, fallbackIds[index]?.text)
  if (keys.every(isKept)) return copies
  const usedIds = keys.flatMap((key) => [...unsettled.usedIds(key)].map(parseId))
  const ids = [...fallbackIds, ...usedIds].filter((id) => id !== undefined)
  // Newer than all that this process knows: it would restore one that is newer.
  const next = createIdAfter(newestOf([current, ...ids]), 0)
  for (const { text } of ids) unsettled.noteRaised(text, next.text)
  return Promise.allSettled(
    copies.map(async (copy, index) => {
      if (copy.status === 'rejected') throw copy.reason
      await raiseCopy(primary, keys[index] as string, copy.value, next)
    }),
  )
}

/**
 * Stores the id of a generation that has just begun in the fallback store, so that it begins in both at the same time; or a
 * newer one, if other processes have begun one in the primary store.
 */
export async function beginGeneration(
  primary: ByteStore,
  fallback: Fallback,
  key: string,
): Promise<void> {
  const [item, fallbackItem] = await Promise.all([primary.get(key, strongRead), fallback.get(key)])
  const [current, begun] = [idOf(item), idOf(fallbackItem)]
  if (current !== undefined && current.text === begun?.text) return
  const isNewest = begun !== undefined && (current === undefined || isNewer(begun, current))
  await raiseCopy(primary, key, item, isNewest ? begun : createIdAfter(current, 0))
}

async function raiseCopy(
  primary: ByteStore,
  key: string,
  found: Payload | undefined,
  next: GenerationId,
): Promise<void> {
  let item = found
  for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
    const id = idOf(item)
    if (id !== undefined && !isNewer(next, id)) return
    if (await replaceSeen(primary, key, item, next.text)) return
    item = await primary.get(key, strongRead)
  }
  throw new CacheError('ERR_CACHE_REJECTED', 'The id of a generation changes too often.')
}

function idOf(item: Payload | undefined): GenerationId | undefined {
  return item === undefined ? undefined : parseId(toText(item))
}

function storedIn<T>(outcome: PromiseSettledResult<T>): T | undefined {
  return outcome.status === 'fulfilled' ? outcome.value : undefined
}
