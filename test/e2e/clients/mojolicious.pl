use Mojo::Base -strict, -signatures;
use Mojo::IOLoop;
use Mojo::UserAgent;
use Mojo::Util qw(encode);

$| = 1;
my ($mode, $url, $ca, $extensions) = @ARGV;
my @left = (
  {text   => 'hello'},
  {text   => encode('UTF-8', "\x{3ba}\x{1f600}" x 1000)},
  {binary => "\0\1\2"},
  {binary => join('', map {chr} 0 .. 255) x 16384},
  {text   => ''},
  {binary => ''},
  {text   => 'again ' x 50000},
);

my $agent = Mojo::UserAgent->new(ca => $ca);

# it compresses with the window of the messages before, whatever it is told
my $headers = $extensions ? {'Sec-WebSocket-Extensions' => $extensions} : {};
# an empty message it compresses to no byte, where RFC 7692 section 7.2.3.6 has one
@left = grep { length($_->{text} // $_->{binary}) } @left if $extensions;
$agent->websocket($url => $headers => ['chat', 'other'] => sub ($agent, $tx) {
  if (!$tx->is_websocket) {
    say 'refused ', $tx->res->code // $tx->error->{message};
    return Mojo::IOLoop->stop;
  }
  $tx->max_websocket_size(8 * 1024 * 1024);
  $tx->on(finish => sub ($tx, $code, $reason = undef) {
    # after its own Close it gives its own reason
    say $mode eq 'echo' || !length $reason ? $code : "$code $reason";
    Mojo::IOLoop->stop;
  });
  if ($mode eq 'read') {
    $tx->on(binary => sub ($tx, $bytes) { say $bytes });
    return $tx->send({binary => 'hello'});
  }

  say $tx->protocol;
  my $say = sub {
    return $tx->send($left[0]) if @left;
    # a ping in the middle of a message
    $tx->send([0, 0, 0, 0, 1, 'in ']);
    $tx->send([1, 0, 0, 0, 9, 'between']);
    $tx->send([1, 0, 0, 0, 0, 'fragments']);
    @left = ({text => 'in fragments', last => 1});
  };
  my $pong = '';
  my $heard = sub ($kind, $echoed) {
    my $message = shift @left;
    die "not what was sent: $kind of " . length $echoed if ($message->{$kind} // '-') ne $echoed;
    return $say->() unless $message->{last};
    die "no pong before the message that the ping was in: '$pong'" if $pong ne 'between';
    $tx->finish(3000, 'enough');
  };
  $tx->on(frame  => sub ($tx, $frame) { $pong = $frame->[5] if $frame->[4] == 10 });
  $tx->on(text   => sub ($tx, $bytes) { $heard->(text   => $bytes) });
  $tx->on(binary => sub ($tx, $bytes) { $heard->(binary => $bytes) });
  $say->();
});
Mojo::IOLoop->singleton->reactor->on(error => sub ($reactor, $error) { say $error; exit 1 });
Mojo::IOLoop->start;
