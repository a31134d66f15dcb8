import type { DescribeTimeToLiveOutput } from '@aws-sdk/client-dynamodb'
import type { CacheError } from '@stowage/core'
import { clockSkewFinding, failureFinding } from '@stowage/core/internal'
import type { BackendReport, Finding } from '@stowage/core/tools'
import type { ResolvedOptions } from '../dynamodb-options.ts'
import type { RequestSender } from '../requests/request-sender.ts'
import { isEnabledOn, keyProblem, type TableDescription, ttlProblem } from '../table/table-state.ts'

const context = { operation: 'check' }
const requests = 3
/** The header has whole seconds. */
const clockErrorMs = 1_000
const missing = 'ResourceNotFoundException'
const denied = 'AccessDeniedException'
const createRemedy = 'Create it with: npx @stowage/cli table create'

/** Reads the table and its TTL. What the first command creates is not missing. Never rejects. Closes the sender. */
export async function checkTable(
  sender: RequestSender,
  { names, ensureTable }: Pick<ResolvedOptions, 'names' | 'ensureTable'>,
): Promise<BackendReport> {
  const isCreated = ensureTable === 'create'
  const address = sender.target.table
  try {
    const described = await ifPermitted(describe(sender))
    const ttl = await ifPermitted(readTtl(sender))
    await readItem(sender, names)
    const deniedActions = await deniedWrites(sender, names)
    const { table, latencyMs } = described ?? {}
    const findings = [
      ...(table === undefined ? [] : schemaFindings(address, table, names)),
      ...(ttl === undefined || ttl === null ? [] : ttlFindings(address, ttl, names, isCreated)),
      ...deniedFinding(address, deniedActions),
      ...(described === null || ttl === null ? [permissionFinding(address)] : []),
      ...clockFindings(sender),
    ]
    const facts = { ...placeOf(sender), ...tableFacts(table), ...(ttl !== null && ttlFacts(ttl)) }
    const server = { address, role: 'table', isReachable: true, latencyMs, facts }
    return { servers: [server], findings }
  } catch (error) {
    const isMissing = nameOf(error) === missing
    const status = isCreated ? 'created by the first command' : 'missing'
    const facts = { ...placeOf(sender), ...(isMissing && { status }) }
    const server = { address, role: 'table', isReachable: isMissing, facts }
    if (isMissing && isCreated) return { servers: [server], findings: [] }
    return { servers: [server], findings: [failureOf(sender, error as CacheError)] }
  } finally {
    void sender.close()
  }
}

type TtlDescription = DescribeTimeToLiveOutput['TimeToLiveDescription']

async function describe(
  sender: RequestSender,
): Promise<{ readonly table: TableDescription; readonly latencyMs: number }> {
  const input = { TableName: sender.target.table }
  const times: number[] = []
  let table: TableDescription = {}
  for (let count = 0; count < requests; count++) {
    const startedAt = performance.now()
    table = (await sender.send('DescribeTable', input, context)).Table ?? {}
    times.push(performance.now() - startedAt)
  }
  return { table, latencyMs: times.sort((a, b) => a - b)[requests >> 1] as number }
}

/** Resolves to `null` if the credentials lack the permission. */
async function ifPermitted<T>(result: Promise<T>): Promise<T | null> {
  try {
    return await result
  } catch (error) {
    if (nameOf(error) === denied) return null
    throw error
  }
}

/** Reads a key that does not exist. @throws CacheError if the table cannot be used */
async function readItem(sender: RequestSender, names: ResolvedOptions['names']): Promise<void> {
  const input = { TableName: sender.target.table, Key: missingItem(names) }
  await sender.send('GetItem', input, context)
}

/** The actions that the credentials may not execute. The condition of each request fails, so they change nothing. */
async function deniedWrites(
  sender: RequestSender,
  names: ResolvedOptions['names'],
): Promise<string[]> {
  const condition = {
    TableName: sender.target.table,
    ConditionExpression: 'attribute_exists(#key)',
    ExpressionAttributeNames: { '#key': names.key },
  }
  const write = { ...condition, Key: missingItem(names) }
  const requests = {
    PutItem: sender.send('PutItem', { ...condition, Item: write.Key }, { ...context }),
    UpdateItem: sender.send('UpdateItem', write, { ...context }),
    DeleteItem: sender.send('DeleteItem', write, { ...context }),
  }
  const outcomes = Object.entries(requests).map(async ([action, request]) => {
    const outcome = await request.catch((error: unknown) => error)
    return nameOf(outcome) === denied ? [action] : []
  })
  return (await Promise.all(outcomes)).flat()
}

function missingItem(names: ResolvedOptions['names']) {
  return { [names.key]: { S: '~ping' } }
}

/** `undefined` for engines without TTL. */
async function readTtl(sender: RequestSender): Promise<TtlDescription> {
  const input = { TableName: sender.target.table }
  try {
    return (await sender.send('DescribeTimeToLive', input, context)).TimeToLiveDescription
  } catch (error) {
    if (nameOf(error) === 'UnknownOperationException') return undefined
    throw error
  }
}

function schemaFindings(
  subject: string,
  table: TableDescription,
  names: ResolvedOptions['names'],
): Finding[] {
  const status = table.TableStatus
  const problem = keyProblem(table, names.key)
  const findings: Finding[] = []
  if (problem !== undefined) {
    const remedy = 'Use another table, or set attributes.key. The key of a table cannot be changed.'
    const text = `The table ${problem}.`
    findings.push({ code: 'dynamodb-key', severity: 'error', subject, problem: text, remedy })
  }
  if (status !== 'ACTIVE' && status !== 'UPDATING') {
    const text = `The table is ${status} instead of ACTIVE.`
    const remedy = 'Wait until it is active, or check it in the AWS console.'
    findings.push({
      code: 'dynamodb-table-status',
      severity: 'error',
      subject,
      problem: text,
      remedy,
    })
  }
  return findings
}

function ttlFindings(
  subject: string,
  ttl: TtlDescription,
  names: ResolvedOptions['names'],
  isCreated: boolean,
): Finding[] {
  const state = { status: ttl?.TimeToLiveStatus, attribute: ttl?.AttributeName }
  const problem = ttlProblem(state, names.ttl)
  if (problem === undefined || (isCreated && !isEnabledOn(state, state.attribute))) return []
  const remedy = `Enable it on the attribute ${names.ttl}: npx @stowage/cli table create, which changes nothing else.`
  const text = `The table ${problem}.`
  return [{ code: 'dynamodb-ttl', severity: 'error', subject, problem: text, remedy }]
}

function permissionFinding(subject: string): Finding {
  return {
    code: 'dynamodb-permission',
    severity: 'warning',
    subject,
    problem: 'The credentials may not describe the table, so its key or its TTL is not known.',
    remedy: 'Allow dynamodb:DescribeTable and dynamodb:DescribeTimeToLive in their IAM policy.',
  }
}

function deniedFinding(subject: string, actions: readonly string[]): Finding[] {
  if (actions.length === 0) return []
  const names = actions.map((action) => `dynamodb:${action}`).join(', ')
  return [
    {
      code: 'dynamodb-permission',
      severity: 'error',
      subject,
      problem: `The credentials may not execute ${names}: calls fail.`,
      remedy: `Allow ${names} in their IAM policy.`,
    },
  ]
}

function clockFindings(sender: RequestSender): Finding[] {
  const serverTime = sender.serverTime()
  if (serverTime === undefined) return []
  return [clockSkewFinding(sender.target.table, serverTime, clockErrorMs) ?? []].flat()
}

function failureOf(sender: RequestSender, error: CacheError): Finding {
  const subject = sender.target.table
  if (nameOf(error) === missing) {
    const { place = 'the default region' } = placeOf(sender)
    const problem = `The table does not exist in ${place}.`
    const remedy = `Check CACHE_TABLE, SESSION_TABLE and AWS_REGION. ${createRemedy}.`
    return { code: 'dynamodb-table-missing', severity: 'error', subject, problem, remedy }
  }
  const severity = 'error'
  if (nameOf(error) === denied) {
    const problem = 'The credentials may not read the table.'
    const remedy = 'Allow dynamodb:GetItem and the other actions of the driver in their IAM policy.'
    return { code: 'dynamodb-permission', severity, subject, problem, remedy }
  }
  if (/credential|signature|token/i.test(nameOf(error) ?? '')) {
    const isMissing = error.code === 'ERR_CACHE_CONFIG'
    const problem = isMissing ? 'No credentials are configured.' : 'AWS rejects the credentials.'
    const remedy = 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role.'
    return { code: 'authentication', severity, subject, problem, remedy }
  }
  if (/Region is missing/.test(error.message)) {
    const remedy = 'Set AWS_REGION, for example to eu-central-1.'
    return {
      code: 'dynamodb-region',
      severity,
      subject,
      problem: 'No region is configured.',
      remedy,
    }
  }
  return failureFinding(subject, error)
}

function tableFacts(table: TableDescription | undefined): Record<string, string | number> {
  if (table === undefined) return {}
  const billing = table.BillingModeSummary?.BillingMode
  return {
    status: table.TableStatus ?? 'unknown',
    billing: billing === 'PAY_PER_REQUEST' ? 'on demand' : 'provisioned',
    ...(table.ItemCount !== undefined && { items: table.ItemCount }),
  }
}

function ttlFacts(ttl: TtlDescription): Record<string, string> {
  return { ttl: ttl?.TimeToLiveStatus === 'ENABLED' ? `on ${ttl.AttributeName}` : 'off' }
}

/** The host of the endpoint, without credentials, or the region. */
function placeOf({ target }: RequestSender): { place?: string } {
  const { endpoint, region } = target
  const place = endpoint === undefined ? region : new URL(endpoint).host
  return place === undefined ? {} : { place }
}

function nameOf(error: unknown): string | undefined {
  return ((error as Error | undefined)?.cause as Error | undefined)?.name
}
