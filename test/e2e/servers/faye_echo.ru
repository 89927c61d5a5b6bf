# See ../servers.test.ts: puma --bind tcp://127.0.0.1:PORT
require 'faye/websocket'

run(lambda do |env|
  path = env['PATH_INFO']
  unless path == '/'
    return [302, { 'location' => '/elsewhere' }, []] if path == '/302'
    return [path[1..].to_i, { 'content-type' => 'text/plain' }, ['no']]
  end

  socket = Faye::WebSocket.new(env, ['b'], max_length: 1 << 26)
  socket.on(:message) do |event|
    message = event.data
    word, *rest = message.is_a?(String) ? message.split(' ', 3) : []
    case word
    when '!close' then socket.close(rest[0].to_i, rest[1])
    when '!ping' then socket.ping('hi') { socket.send('pong hi') }
    when '!drop' then socket.instance_variable_get(:@stream).close_connection
    else socket.send(message)
    end
  end
  socket.on(:close) do |event|
    puts "closed #{event.code} #{event.reason}"
    $stdout.flush
  end
  socket.rack_response
end)
