# See ../servers.test.ts: daemon --listen http://127.0.0.1:PORT
use Mojolicious::Lite -signatures;
use Mojo::IOLoop;
use Mojo::Util qw(decode);

$| = 1;

websocket '/' => sub ($c) {
  $c->tx->with_compression;
  $c->tx->with_protocols('b');
  $c->tx->max_websocket_size(1 << 26);
  $c->on(binary => sub ($c, $bytes) { $c->send({binary => $bytes}) });
  $c->on(text => sub ($c, $bytes) {
    my ($word, @rest) = split / /, decode('UTF-8', $bytes), 3;
    if (($word // '') eq '!close') { $c->finish(@rest) }
    elsif ($bytes eq '!ping') { $c->send([1, 0, 0, 0, 9, 'hi']) }
    elsif ($bytes eq '!drop') { Mojo::IOLoop->remove($c->tx->connection) }
    elsif ($bytes eq '!fragments') {
      # in the midst of a character
      my @pieces = ('in ', 'three ', "fragm\xc3", "\xa9nts");
      $c->send([$_ == $#pieces, 0, 0, 0, $_ == 0, $pieces[$_]]) for 0 .. $#pieces;
    }
    else { $c->send([1, 0, 0, 0, 1, $bytes]) }
  });
  $c->on(frame => sub ($c, $frame) { $c->send("pong $frame->[5]") if $frame->[4] == 10 });
  $c->on(finish => sub ($c, $code, $reason = undef) { print "closed $code\n" });
};

get '/:code' => sub ($c) {
  my $status = $c->param('code');
  return $c->redirect_to('/elsewhere') if $status == 302;
  $c->render(text => "no: $status", status => $status);
};

app->log->level('fatal');
app->start;
