import { startDynamoDB } from '@stowage/test-servers'
import { dynamodbGroup } from '../lib/workloads/dynamodb-group.mjs'

/** DynamoDB Local, which needs Java. It takes more time than the client does, most of all for writes. */
export default dynamodbGroup({
  start,
  minGetRatio: 3,
  minSetRatio: 5,
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
