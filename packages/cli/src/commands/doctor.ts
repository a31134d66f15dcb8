import { maskSecrets } from '@stowage/core/internal'
import { Context, type SourceOptions } from '../configuration/context.ts'
import type { ConfiguredStore, Diagnosis, DoctorFinding } from '../doctor/diagnosis.ts'
import { printDiagnosis } from '../doctor/doctor-text.ts'
import { areStoresKnown, checkEnvironment } from '../doctor/environment-checks.ts'
import { checkStores } from '../doctor/store-checks.ts'
import type { Output } from '../output/io.ts'
import { withProgress } from '../output/prompts.ts'

export interface DoctorOptions extends SourceOptions {
  readonly json?: boolean
  readonly strict?: boolean
  readonly verbose?: boolean
}

/** Returns the exit code: 1 if there are errors, or with `strict` also for warnings. */
export async function doctor(options: DoctorOptions, output: Output): Promise<number> {
  return Context.use(options, output, async (context) => {
    const diagnosis = await diagnose(context, options, output)
    if (options.json) output.json(diagnosis)
    else printDiagnosis(diagnosis, output, options.verbose === true)
    const failed = options.strict ? diagnosis.findings.length > 0 : !diagnosis.ok
    return failed ? 1 : 0
  })
}

async function diagnose(
  context: Context,
  { json = false }: DoctorOptions,
  output: Output,
): Promise<Diagnosis> {
  const areBackendsChecked = areStoresKnown(context)
  const checked = areBackendsChecked
    ? await withProgress(output, json, 'Checking the backends', (show) =>
        checkStores(context, (store) => show(`Checking ${store}`)),
      )
    : { servers: [], findings: [] }
  const environment = checkEnvironment(context).map((each) => ({ ...each, stores: [] }))
  const findings = bySeverity([...environment, ...checked.findings])
  const errors = findings.filter(({ severity }) => severity === 'error').length
  return {
    command: 'doctor',
    ok: errors === 0,
    node: process.versions.node,
    files: context.files.map(({ path, variables }) => ({
      path,
      variables: Object.keys(variables).length,
    })),
    stores: storesOf(context),
    variables: variablesOf(context),
    servers: checked.servers,
    findings,
    areBackendsChecked,
    errors,
    warnings: findings.length - errors,
  }
}

function bySeverity(findings: readonly DoctorFinding[]): DoctorFinding[] {
  const errors = findings.filter(({ severity }) => severity === 'error')
  return [...errors, ...findings.filter(({ severity }) => severity === 'warning')]
}

function storesOf(context: Context): ConfiguredStore[] {
  const { roles } = context.report ?? {}
  if (roles !== undefined) {
    return Object.entries(roles).map(([name, { store, failover, prefix, ttl }]) => ({
      name,
      driver: store ?? null,
      failover,
      prefix,
      ttlMs: ttl,
    }))
  }
  return context.names.map((name) => {
    const { driver, ttl } = context.cache(name)
    return { name, driver, failover: [], prefix: null, ttlMs: ttl ?? null }
  })
}

function variablesOf({ report, variables }: Context): Record<string, string> {
  const names = [...(report?.used ?? [])].sort()
  return Object.fromEntries(names.map((name) => [name, maskSecrets(name, variables[name] ?? '')]))
}
