import { type CacheStore, ConfigError } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import type * as DynamoDB from '@stowage/dynamodb'
import type * as Postgres from '@stowage/postgres'
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

export type TableAction = 'create' | 'describe' | 'terraform' | 'cloudformation' | 'sql'

/** Returns the exit code: 1 if the table is not as the driver needs it. */
export async function table(
  action: TableAction,
  options: TableOptions,
  output: Output,
): Promise<number> {
  const context = await Context.read(options, output)
  const opened = await openTable(context.variables, options, output.io.cwd)
  if (action === 'describe') return describe(opened, options, output)
  if (action === 'create') return create(opened, options, output)
  const text = opened.define(action)
  if (options.json) output.json({ command: 'table', action, table: opened.name, text })
  else output.line(text)
  return 0
}

async function create(
  { name, ensure, ready }: Table,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  await ensure()
  if (json) output.json({ command: 'table', action: 'create', table: name })
  else output.line(`${output.colors.green('✓')} The table ${name} ${ready}.`)
  return 0
}

async function describe(
  { name, openStore }: Table,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  const store = openStore()
  const report = await store.diagnostics?.check()
  await store.close()
  const { servers = [], findings = [] } = report ?? {}
  const facts = servers[0]?.facts ?? {}
  if (json) output.json({ command: 'table', action: 'describe', table: name, facts, findings })
  else {
    const pairs = Object.entries(facts).map(([name, value]) => [name, String(value)] as const)
    output.line(list([['table', name], ...pairs]))
    printFindings(
      findings.map((finding) => ({ ...finding, stores: [] })),
      output,
    )
  }
  return findings.length > 0 ? 1 : 0
}

/** A table, and what its driver can do with it. */
export interface Table {
  readonly name: string
  /** Creates the table, where it is missing. */
  readonly ensure: () => Promise<void>
  /** What `ensure` has done, as the continuation of a sentence. */
  readonly ready: string
  readonly openStore: () => CacheStore
  /** @throws CommandError for a format that the driver does not have */
  readonly define: (format: 'terraform' | 'cloudformation' | 'sql') => string
}

interface TableChoice {
  readonly table?: string
  readonly role: 'cache' | 'session'
}

/** The table that the variables name, of DynamoDB unless their driver is postgres. Sessions have that of the cache by default. */
export async function openTable(
  variables: Variables,
  choice: TableChoice,
  cwd: string,
): Promise<Table> {
  const env = new Env(variables, choice.role)
  const ofRole = choice.role === 'session' ? env.text('SESSION_DRIVER') : undefined
  const driver = ofRole ?? env.text('CACHE_DRIVER')
  const table = driver === 'postgres' ? postgresTable : dynamoTable
  return table(env, choice, cwd)
}

async function dynamoTable(env: Env, choice: TableChoice, cwd: string): Promise<Table> {
  const table = tableName(env, choice)
  if (table === undefined) {
    throw new CommandError('No table is named. Use --table, or set CACHE_TABLE or SESSION_TABLE.')
  }
  const region = env.text('AWS_REGION') ?? env.text('AWS_DEFAULT_REGION')
  const endpoint = env.url('DYNAMODB_ENDPOINT', ['http:', 'https:'], 'http://127.0.0.1:8000')?.href
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  const place = { table, ...(region && { region }), ...(endpoint && { endpoint }) }
  const load = () => import('@stowage/dynamodb')
  const driver: typeof DynamoDB = await imported('@stowage/dynamodb', cwd, load)
  return {
    name: table,
    ensure: () => driver.ensureTable(place),
    ready: 'exists, and its TTL is enabled',
    openStore: () => driver.dynamodb(place),
    define: (format) => {
      if (format === 'sql') throw new CommandError('A table of DynamoDB has no SQL statement.')
      return format === 'terraform' ? driver.terraform(place) : driver.cloudFormation(place)
    },
  }
}

async function postgresTable(env: Env, choice: TableChoice, cwd: string): Promise<Table> {
  const load = () => import('@stowage/postgres')
  const driver: typeof Postgres = await imported('@stowage/postgres', cwd, load)
  const { ensureTable: _, ...options } = driver.default.fromEnv(env)
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  const table = choice.table ?? options.table ?? ''
  const place = { ...options, table }
  return {
    name: table,
    ensure: () => driver.ensureTable(place),
    ready: 'exists',
    openStore: () => driver.postgres(place),
    define: (format) => {
      if (format === 'sql') return driver.tableStatements(place)
      throw new CommandError(`A table of PostgreSQL has no ${format} definition. Use: table sql`)
    },
  }
}

/** From the variables that the driver reads. */
function tableName(env: Env, { table, role }: TableChoice): string | undefined {
  const ofRole = role === 'session' ? env.text('SESSION_TABLE') : undefined
  return table ?? ofRole ?? env.text('CACHE_TABLE')
}

function imported<T>(name: string, cwd: string, load: () => Promise<T>): Promise<T> {
  return importPackage(name, cwd, load).catch(() => {
    throw new CommandError(`The package ${name} is not installed: npm install ${name}`)
  })
}
