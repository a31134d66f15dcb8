import {
  type BackendReport,
  type CheckOptions,
  pingReport,
  type StoreDiagnostics,
} from '../diagnostics.ts'
import type { ByteStore } from '../store.ts'

/** Returns diagnostics that check both stores. The roles of the servers of the fallback store begin with "fallback". */
export function failoverDiagnostics(primary: ByteStore, fallback: ByteStore): StoreDiagnostics {
  const check = async (options?: CheckOptions): Promise<BackendReport> => {
    const [own, other] = await Promise.all([checkOf(primary, options), checkOf(fallback, options)])
    const fallbacks = other.servers.map((each) => ({ ...each, role: fallbackRole(each.role) }))
    return {
      servers: [...own.servers, ...fallbacks],
      findings: [...own.findings, ...other.findings],
    }
  }
  const { diagnostics } = primary
  if (diagnostics?.locate === undefined) return { check }
  return { check, locate: (key) => diagnostics.locate?.(key) as Promise<string> }
}

async function checkOf(store: ByteStore, options?: CheckOptions): Promise<BackendReport> {
  if (store.diagnostics !== undefined) return store.diagnostics.check(options)
  const address = store.processLocal === true ? 'this process' : store.name
  return pingReport(address, () => store.ping())
}

/** The fallback store of a fallback store is one as well. */
function fallbackRole(role: string): string {
  return role.startsWith('fallback') ? role : `fallback ${role}`
}
