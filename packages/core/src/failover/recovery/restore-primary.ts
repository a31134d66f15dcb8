import { CacheError } from '../../errors.ts'
import {
  createIdAfter,
  type GenerationId,
  isNewer,
  parseId,
} from '../../generations/generation-id.ts'
import type { ByteStore, Payload } from '../../store.ts'
import { toText } from '../../values/payload.ts'
import { outcomeOf } from '../../wrappers/batch-error.ts'
import type { Spare } from '../spare/spare.ts'
import { isGenerationKey } from './generation-key.ts'
import type { UnsettledKeys } from './unsettled-keys.ts'

const maxKeys = 1_000
const maxConflicts = 5

/**
 * Deletes keys from the primary store, whose items are outdated. Ids of generations are replaced by newer ones instead:
 * a deleted id could be restored by a process that knows it. Resolves to the outcome of each key.
 */
export async function restorePrimary(
  primary: ByteStore,
  spare: Spare,
  unsettled: UnsettledKeys,
  keys: readonly string[],
): Promise<PromiseSettledResult<unknown>[]> {
  const outcomes: PromiseSettledResult<unknown>[] = []
  for (let from = 0; from < keys.length; from += maxKeys) {
    const some = keys.slice(from, from + maxKeys)
    outcomes.push(...(await restoreSome(primary, spare, unsettled, some)))
  }
  return outcomes
}

async function restoreSome(
  primary: ByteStore,
  spare: Spare,
  unsettled: UnsettledKeys,
  keys: readonly string[],
): Promise<PromiseSettledResult<unknown>[]> {
  const isId = keys.map(isGenerationKey)
  const [deleted, raised] = await Promise.all([
    deleteItems(
      primary,
      keys.filter((_, index) => !isId[index]),
    ),
    Promise.allSettled(
      keys.map((key, index) =>
        isId[index] ? raiseGeneration(primary, spare, unsettled, key) : undefined,
      ),
    ),
  ])
  const outcomes = deleted[Symbol.iterator]()
  return raised.map((outcome, index) =>
    isId[index] ? outcome : (outcomes.next().value as PromiseSettledResult<unknown>),
  )
}

async function deleteItems(
  primary: ByteStore,
  keys: readonly string[],
): Promise<PromiseSettledResult<unknown>[]> {
  if (keys.length === 0) return []
  try {
    if (keys.length === 1) await primary.delete(keys[0] as string)
    else await primary.deleteMany(keys)
    return keys.map(() => ({ status: 'fulfilled', value: undefined }))
  } catch (error) {
    return keys.map((_, index) => outcomeOf(error, index))
  }
}

/**
 * Begins a new generation in the primary store, unless the processes have continued with its own one during the outage. If
 * they have used another generation, the journal contains its keys, and the outdated items have other keys.
 */
async function raiseGeneration(
  primary: ByteStore,
  spare: Spare,
  unsettled: UnsettledKeys,
  key: string,
): Promise<void> {
  for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
    const used = idOf(await spare.get(key))
    const item = await primary.get(key, { consistency: 'strong' })
    const current = idOf(item)
    if (current !== undefined && unsettled.hasUsedOnly(key, current.text, used?.text)) return
    const next = used !== undefined && isNewest(used, current) ? used : createIdAfter(current, 0)
    const isStored =
      item === undefined
        ? await primary.add(key, next.text)
        : await primary.compareAndSet(key, item, next.text)
    if (isStored) return
  }
  throw new CacheError('ERR_CACHE_REJECTED', 'The id of a generation changes too often.')
}

function isNewest(id: GenerationId, other: GenerationId | undefined): boolean {
  return other === undefined || isNewer(id, other)
}

function idOf(item: Payload | undefined): GenerationId | undefined {
  return item === undefined ? undefined : parseId(toText(item))
}
