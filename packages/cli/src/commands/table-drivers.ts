import { type CacheStore, ConfigError } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import type * as DynamoDB from '@stowage/dynamodb'
import type * as Postgres from '@stowage/postgres'
import { importPackage } from '../configuration/packages.ts'
import { CommandError } from '../errors.ts'

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

/** The table that the variables name, of DynamoDB unless their driver is postgres. */
export async function openTable(
  variables: Variables,
  choice: TableChoice,
  cwd: string,
): Promise<Table> {
  const env = new Env(variables, choice.role)
  const driver = env.text(choice.role === 'session' ? 'SESSION_DRIVER' : 'CACHE_DRIVER')
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
