// Fetches, with @helia/verified-fetch, what is asked for on stdin, a JSON object a line, and says what came.
import { createInterface } from 'node:readline'
import { withHTTP } from '@helia/http'
import { createVerifiedFetch } from '@helia/verified-fetch'
import { createHeliaLight } from 'helia'

const gateway = process.argv[2]
// As a router, the gateway says that it knows nobody: without any, Helia would wait for ever.
const helia = await withHTTP(createHeliaLight(), {
  delegatedRouters: [gateway],
  recursiveGateways: [gateway],
  allowInsecure: true,
  allowLocal: true
}).start()
const fetch = await createVerifiedFetch(helia)

for await (const line of createInterface({ input: process.stdin })) {
  const { url, headers } = JSON.parse(line)
  const answer = await fetch(url, { headers })
  const body = Buffer.from(await answer.arrayBuffer()).toString('base64')
  console.log(JSON.stringify({ status: answer.status, body }))
}
process.exit(0)
