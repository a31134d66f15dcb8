import type { Cache } from '@stowage/core'
import { failureFinding, pingReport } from '@stowage/core/internal'
import type { BackendReport } from '@stowage/core/tools'
import { checkBackend } from '@stowage/core/tools'
import type { Context } from '../configuration/context.ts'
import type { DoctorFinding, DoctorServer } from './diagnosis.ts'

interface StoreResult extends BackendReport {
  readonly store: string
}

interface Merged {
  readonly servers: readonly DoctorServer[]
  readonly findings: readonly DoctorFinding[]
}

/** Checks the backends of all stores. What several stores have in common is reported once. */
export async function checkStores(
  context: Context,
  onProgress: (store: string) => void,
): Promise<Merged> {
  const results = await Promise.all(
    context.names.map(async (store): Promise<StoreResult> => {
      onProgress(store)
      return { store, ...(await checkStore(context, store)) }
    }),
  )
  return {
    servers: merged(
      results.flatMap(({ store, servers }) =>
        servers.map((each) => ({ ...each, stores: [store] })),
      ),
      ({ address, role }) => `${role} ${address}`,
    ),
    findings: merged(
      results.flatMap(({ store, findings }) =>
        findings.map((each) => ({ ...each, stores: [store] })),
      ),
      ({ code, subject }) => `${code} ${subject}`,
    ),
  }
}

async function checkStore(context: Context, name: string): Promise<BackendReport> {
  try {
    const cache = context.cache(name)
    const holdsSessions = name === 'session' || context.app.sessions?.cache === cache
    return (
      (await checkBackend(cache, { holdsSessions })) ??
      (await pingReport(addressOf(cache), () => cache.ping()))
    )
  } catch (error) {
    return { servers: [], findings: [failureFinding(name, error)] }
  }
}

/** For stores without servers of their own, and for those of the application. */
function addressOf({ driver }: Cache): string {
  return driver === 'memory' ? 'this process' : driver
}

function merged<T extends { readonly stores: readonly string[] }>(
  all: readonly T[],
  identity: (each: T) => string,
): T[] {
  const found = new Map<string, T>()
  for (const each of all) {
    const key = identity(each)
    const earlier = found.get(key)
    const stores = [...new Set([...(earlier?.stores ?? []), ...each.stores])]
    found.set(key, { ...(earlier ?? each), stores })
  }
  return [...found.values()]
}
