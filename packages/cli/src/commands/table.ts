import { ConfigError } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import type * as DynamoDB from '@stowage/dynamodb'
import { Context, type SourceOptions } from '../configuration/context.ts'
import { importPackage } from '../configuration/packages.ts'
import { printFindings } from '../doctor/doctor-text.ts'
import { CommandError } from '../errors.ts'
import type { Output } from '../output/io.ts'
import { list } from '../output/layout.ts'

export interface TableOptions extends SourceOptions {
  readonly json?: boolean
  readonly table?: string
  readonly role: 'cache' | 'session'
}

export type TableAction = 'create' | 'describe' | 'terraform' | 'cloudformation'

interface Place {
  readonly table: string
  readonly region?: string
  readonly endpoint?: string
}

/** Returns the exit code: 1 if the table is not as the driver needs it. */
export async function table(
  action: TableAction,
  options: TableOptions,
  output: Output,
): Promise<number> {
  const context = await Context.read(options, output)
  const place = placeOf(context.variables, options)
  const dynamodb = await importDynamoDB(output.io.cwd)
  if (action === 'describe') return describe(dynamodb, place, options, output)
  if (action === 'create') return create(dynamodb, place, options, output)
  const text = action === 'terraform' ? dynamodb.terraform(place) : dynamodb.cloudFormation(place)
  if (options.json) output.json({ command: 'table', action, table: place.table, text })
  else output.line(text)
  return 0
}

async function create(
  { ensureTable }: typeof DynamoDB,
  place: Place,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  await ensureTable(place)
  if (json) output.json({ command: 'table', action: 'create', table: place.table })
  else
    output.line(
      `${output.colors.green('✓')} The table ${place.table} exists, and its TTL is enabled.`,
    )
  return 0
}

async function describe(
  { dynamodb }: typeof DynamoDB,
  place: Place,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  const store = dynamodb(place)
  const report = await store.diagnostics?.check()
  await store.close()
  const { servers = [], findings = [] } = report ?? {}
  const facts = servers[0]?.facts ?? {}
  if (json)
    output.json({ command: 'table', action: 'describe', table: place.table, facts, findings })
  else {
    const pairs = Object.entries(facts).map(([name, value]) => [name, String(value)] as const)
    output.line(list([['table', place.table], ...pairs]))
    printFindings(
      findings.map((finding) => ({ ...finding, stores: [] })),
      output,
    )
  }
  return findings.length > 0 ? 1 : 0
}

/** From the variables that the driver reads. */
function placeOf(variables: Variables, { table: given, role }: TableOptions): Place {
  const env = new Env(variables, role)
  const ofRole = role === 'session' ? env.text('SESSION_TABLE') : undefined
  const table = given ?? ofRole ?? env.text('CACHE_TABLE')
  if (table === undefined) {
    throw new CommandError('No table is named. Use --table, or set CACHE_TABLE or SESSION_TABLE.')
  }
  const region = env.text('AWS_REGION') ?? env.text('AWS_DEFAULT_REGION')
  const endpoint = env.url('DYNAMODB_ENDPOINT', ['http:', 'https:'], 'http://127.0.0.1:8000')?.href
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  return { table, ...(region && { region }), ...(endpoint && { endpoint }) }
}

async function importDynamoDB(cwd: string): Promise<typeof DynamoDB> {
  const name = '@stowage/dynamodb'
  return importPackage(name, cwd, () => import('@stowage/dynamodb')).catch(() => {
    throw new CommandError(`The package ${name} is not installed: npm install ${name}`)
  })
}
