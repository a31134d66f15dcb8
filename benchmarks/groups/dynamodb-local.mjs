import { startDynamoDB } from '@stowage/test-servers'
import { dynamodbGroup } from '../lib/workloads/dynamodb-group.mjs'

/** DynamoDB Local, which needs Java. It takes more time than the client does, most of all for writes. */
export default dynamodbGroup({
  start,
  minRatios: { get: 3, set: 5, put: 0.95, getMany: 0.9 },
  durationFactor: 10,
})

async function start() {
  const { pid, url, stop } = await startDynamoDB()
  return {
    pids: [pid],
    addressOf: (contestant) => ({ endpoint: url, table: contestant }),
    async reset() {},
    stop,
  }
}
