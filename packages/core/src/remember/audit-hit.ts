import type { Audit } from '../audit/audit.ts'
import { publishError } from '../channels.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { strongRead } from '../store.ts'
import type { LoadJob } from './load-job.ts'
import { runAfterCallers } from './refresh.ts'
import { loadUnstored } from './run-load.ts'

/** Compares one of many hits with the source. */
export function auditIfSampled<T>(job: LoadJob<T>, found: Found): void {
  const { audit } = job.cache
  if (audit?.isSampled()) auditHit(audit, job, found)
}

/** Compares a hit with the source in the background, if the loader may be called for it now. */
export function auditHit<T>(audit: Audit, job: LoadJob<T>, found: Found): void {
  const { cache, storageKey, key, options } = job
  const { entries, reader, activeLoads, waitUntil } = cache
  if (!options.audit || cache.recovery?.isPrimary === false || !audit.begin()) return
  const event = entries.event(storageKey)
  const hit = {
    name: key,
    event,
    served: entries.valueOf(storageKey, found.item),
    isStale: found.staleMs >= 0,
    load: async () => {
      const loaded = await loadUnstored(job)
      return loaded === undefined
        ? undefined
        : entries.valueOf(storageKey, entries.encode(storageKey, loaded))
    },
    read: async (from: 'any' | 'primary') => {
      const { entry, staleMs } = await reader.read(
        storageKey,
        [],
        from === 'any' ? undefined : strongRead,
      )
      return staleMs < 0 ? entry?.value : undefined
    },
    describe: async () => ({ tags: found.entry?.facts?.tags ?? {}, ttlMs: await ttlOf(job) }),
  }
  const work = runAfterCallers(() => audit.compare(hit)).catch((error) =>
    publishError(event, error),
  )
  activeLoads.trackBackground(work)
  waitUntil?.(work)
}

async function ttlOf<T>({ cache, storageKey }: LoadJob<T>): Promise<number | undefined> {
  const [item] = (await cache.entries.store.getWithTtl?.([storageKey], strongRead)) ?? []
  return item?.ttl
}
