import {
  type BackendReport,
  type CheckOptions,
  pingReport,
  type StoreDiagnostics,
} from '../diagnostics.ts'
import type { ByteStore } from '../store.ts'

/** Returns diagnostics that check both stores. The roles of the servers of the spare store begin with "spare". */
export function failoverDiagnostics(primary: ByteStore, spare: ByteStore): StoreDiagnostics {
  const check = async (options?: CheckOptions): Promise<BackendReport> => {
    const [own, other] = await Promise.all([checkOf(primary, options), checkOf(spare, options)])
    const spares = other.servers.map((each) => ({ ...each, role: spareRole(each.role) }))
    return {
      servers: [...own.servers, ...spares],
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

/** The spare store of a spare store is one as well. */
function spareRole(role: string): string {
  return role.startsWith('spare') ? role : `spare ${role}`
}
