import type { ByteStore } from '../../store.ts'
import { outcomeOf } from '../../wrappers/batch-error.ts'
import type { Fallback } from '../fallback/fallback.ts'
import { idNameOf } from './generation-key.ts'
import { raiseGeneration } from './raise-generation.ts'
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
